"""The double of the venue: the paper engine with Binance's face, for tests and `quantum venue`."""

from services.apply_layer.double.codes import Refused
from services.apply_layer.double.config import DoubleConfig
from services.apply_layer.double.fault_kinds import DRAWN_KINDS, KINDS
from services.apply_layer.double.market import Bar
from services.apply_layer.double.server import Double, ccxt_urls

__all__ = ["DRAWN_KINDS", "KINDS", "Bar", "Double", "DoubleConfig", "Refused", "ccxt_urls"]
