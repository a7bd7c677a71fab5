"""The bus: one port, a Redis-compatible server behind it, and a twin in memory."""

from shared.bus.client import connect, load_library
from shared.bus.memory import MemoryBus, MemoryServer
from shared.bus.port import (
    Backlog,
    Bus,
    BusDown,
    Commit,
    Entry,
    NotReady,
    ServerFull,
    StateLost,
    Superseded,
)
from shared.bus.redis import RedisBus

__all__ = [
    "Backlog",
    "Bus",
    "BusDown",
    "Commit",
    "Entry",
    "MemoryBus",
    "MemoryServer",
    "NotReady",
    "RedisBus",
    "ServerFull",
    "StateLost",
    "Superseded",
    "connect",
    "load_library",
]
