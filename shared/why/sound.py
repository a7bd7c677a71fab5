"""A story that can be told to its end: a record that makes no sense is left out, and named.

Pure; reads and writes nothing.
"""

from __future__ import annotations

from dataclasses import replace

from shared.records import NONSENSE, Unreadable, reason_of
from shared.streams import harvest_key, position_key
from shared.why.document import as_json
from shared.why.findings import findings_of
from shared.why.picture import Picture
from shared.why.story import Story, story_of


def sound_story(picture: Picture) -> Story:
    """The story of a picture, without the records that nobody could tell it by."""
    try:
        return _told(picture)
    except NONSENSE as error:
        why = reason_of(error)
    try:
        return _told(_without(picture, harvest_key(picture.symbol), why, harvest={}))
    except NONSENSE:
        key = position_key(picture.symbol)
        return _told(_without(picture, key, why, harvest={}, position={}))


def _told(picture: Picture) -> Story:
    """The story, told once as it will be told to whoever asked."""
    story = story_of(picture)
    as_json(story, findings_of(story), None)
    return story


def _without(picture: Picture, key: str, why: str, **records: dict[str, str]) -> Picture:
    unreadable = (*picture.unreadable, Unreadable(key, why))
    return replace(picture, unreadable=unreadable, **records)  # type: ignore[arg-type]
