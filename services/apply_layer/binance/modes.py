"""In which modes the account stands, and how each symbol is set up: read, and told when it changes.

Hedge mode and multi-assets mode bar entries by name until they were read to be off again.
"""

from __future__ import annotations

from collections.abc import Collection

from services.apply_layer.binance.answers import Meaning
from services.apply_layer.binance.budget import Purpose
from services.apply_layer.binance.client import Client, NoAnswer, VenueError
from services.apply_layer.binance.endpoints import ACCOUNT_CONFIG, SYMBOL_CONFIG, read, read_rows
from services.apply_layer.binance.rows import ConfigRow, PositionRow
from services.apply_layer.exchange import Quarantine
from shared.contracts.values import LEVERAGE_MAX
from shared.log import logger

HEDGE_MODE = (
    "the account is in hedge mode; the suite holds one position a symbol. Close all positions and "
    "switch it in the exchange's app: Preferences, Position Mode, One-way Mode"
)
MULTI_ASSETS = (
    "the account is in multi-assets mode, which takes no isolated margin, and the suite trades with"
    " nothing else. Switch it in the exchange's app: Preferences, Asset Mode, Single-Asset Mode."
    " Where only BNFCR credits can be held (in the EU), the suite cannot trade"
)
#: Refusals that say in which mode the account stands.
_OF_HEDGE, _OF_MULTI_ASSETS = (-4061, -4060, -4062), (-4168, -4167)
#: So many symbols are asked for one by one; all in one call weigh the same as one.
_ONE_BY_ONE = 1


class Modes:
    """Of one account. `changed_by_hand` has symbols that were set up otherwise while held."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._config: dict[str, ConfigRow] = {}
        self._taken: dict[str, tuple[str, int]] = {}
        self.hedge = False
        self.multi_assets = False
        self.in_doubt = False

    @property
    def barriers(self) -> dict[str, str]:
        """Why no entry may be made, by code."""
        told = {"hedge_mode": HEDGE_MODE} if self.hedge else {}
        return told | ({"multi_assets": MULTI_ASSETS} if self.multi_assets else {})

    def read(self, purpose: Purpose) -> None:
        """Read the account's modes. Raises VenueError, NoAnswer, and then nothing has changed."""
        told = read(self._client, ACCOUNT_CONFIG, purpose=purpose)
        self.hedge, self.multi_assets = told.dual_side_position, told.multi_assets_margin
        self.in_doubt = False

    def refused(self, error: VenueError) -> None:
        """Learn from a refusal: the mode it names stands until it was read to be another."""
        if error.code in _OF_HEDGE:
            self.hedge = self.in_doubt = True
        elif error.code in _OF_MULTI_ASSETS:
            self.multi_assets = self.in_doubt = True

    # -- how symbols are set up -----------------------------------------------------------------

    def read_symbols(self, purpose: Purpose) -> None:
        """Read how all symbols are set up; what cannot be read is as it was."""
        try:
            told = read_rows(self._client, SYMBOL_CONFIG, purpose=purpose)
        except (VenueError, NoAnswer) as error:
            if isinstance(error, VenueError) and error.meaning is not Meaning.REFUSED:
                raise
            logger().warning("symbol_config_not_read", reason=str(error))
            return
        self._config = {row.symbol: row for row in told.rows}

    def learn(self, symbols: Collection[str], purpose: Purpose) -> None:
        """Read how newly held symbols are set up, in one call."""
        if not symbols:
            return
        if len(symbols) > _ONE_BY_ONE:
            self.read_symbols(purpose)
            return
        for symbol in symbols:
            try:
                told = read_rows(self._client, SYMBOL_CONFIG, {"symbol": symbol}, purpose=purpose)
            except (VenueError, NoAnswer) as error:
                if isinstance(error, VenueError) and error.meaning is not Meaning.REFUSED:
                    raise
                logger().warning("symbol_config_not_read", symbol=symbol, reason=str(error))
                continue
            self._config |= {row.symbol: row for row in told.rows}

    def leverage_of(self, row: PositionRow) -> int:
        """The leverage of a position: as its symbol is set up, else as its margin tells."""
        config = self._config.get(row.symbol)
        if config is not None and config.leverage >= 1:
            leverage = config.leverage
        elif row.position_initial_margin > 0:
            leverage = round(abs(row.notional) / row.position_initial_margin)
        else:
            leverage = 1
        return min(max(leverage, 1), LEVERAGE_MAX)

    def prepared(self, symbol: str, margin_type: str, leverage: int) -> None:
        """We have set up a symbol so ourselves."""
        if symbol in self._taken:
            self._taken[symbol] = (margin_type.upper(), leverage)
        self._config[symbol] = ConfigRow.model_validate(
            {"symbol": symbol, "marginType": margin_type, "leverage": leverage}
        )

    def set_up_as(self, symbol: str) -> tuple[str, int] | None:
        """Margin type and leverage of a symbol as last read or set, if they are known."""
        config = self._config.get(symbol)
        return None if config is None else (config.margin_type.upper(), config.leverage)

    def flaws(self, held: Collection[str]) -> dict[str, Quarantine]:
        """Held symbols that somebody has set up otherwise since they were held."""
        self._taken = {symbol: was for symbol, was in self._taken.items() if symbol in held}
        flaws: dict[str, Quarantine] = {}
        for symbol in held:
            now = self.set_up_as(symbol)
            if now is None:
                flaws[symbol] = Quarantine(
                    "no_symbol_config", "the venue does not state its leverage and margin type"
                )
                continue
            was = self._taken.setdefault(symbol, now)
            if was != now:
                flaws[symbol] = Quarantine(
                    "set_up_by_hand",
                    f"{was[0]} {was[1]}x became {now[0]} {now[1]}x while it was held: set it back"
                    " in the exchange's app, or close the position; its stop is kept meanwhile",
                )
        return flaws
