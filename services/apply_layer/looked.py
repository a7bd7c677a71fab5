"""The fact that a venue was looked at."""

from __future__ import annotations

from dataclasses import dataclass

from services.apply_layer.exchange import VenueSnapshot


@dataclass(frozen=True, slots=True)
class Looked:
    """The venue as it stands. `starting`: for the first time since a start or an outage."""

    snapshot: VenueSnapshot
    starting: bool = False
