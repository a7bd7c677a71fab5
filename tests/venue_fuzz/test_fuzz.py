"""A fixed part of the fuzz; the whole of it is `make fuzz`."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from services.apply_layer.binance import endpoints
from services.apply_layer.binance.client import NoAnswer

from .fuzz import NotSurvived, play


def test_no_answer_and_no_frame_of_the_venue_ends_anything() -> None:
    with capture_logs():
        figures = play(seed=1, cases=1500)
    assert sum(figures.cases.values()) == 1500
    assert figures.struck > 1000
    assert len(figures.cases) >= 20


def test_a_reader_that_lets_an_error_through_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    real = endpoints.rows_of

    def trusting(*about: Any) -> Any:
        try:
            return real(*about)
        except NoAnswer as error:
            raise KeyError(str(error)) from None

    monkeypatch.setattr(endpoints, "rows_of", trusting)
    with capture_logs(), pytest.raises(NotSurvived, match="again: python -m tests"):
        play(seed=1, cases=1500)
