"""What every message has: a version, its own id, two times and a source."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from shared.contracts.fields import Source, Timestamp


class Message(BaseModel):
    """A message on a stream; frozen, and no field beyond those named is accepted.

    `timestamp` is market time and drives every decision. `produced_at` is the wall clock at the
    producer; staleness and latency are measured from it alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: The stream that carries messages of this kind.
    stream_name: ClassVar[str]

    version: Literal["1"] = "1"
    timestamp: Timestamp
    produced_at: Timestamp
    source: Source
