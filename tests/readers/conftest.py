"""The ring that is looked at is the one that the commands are asked about."""

from tests.cli.conftest import open_ring

__all__ = ["open_ring"]
