"""Structured logs: JSON where nobody watches, readable lines in a terminal; always on stderr."""

from __future__ import annotations

import logging
import sys
from typing import cast

import structlog

from shared.redaction import redact


def configure(*, daemon: str, level: str = "info", as_json: bool | None = None) -> None:
    """Set structlog up for this process.

    `as_json=None` decides by whether stderr is a terminal. Standard output stays free for what a
    command prints.
    """
    if as_json is None:
        as_json = not sys.stderr.isatty()
    render: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(default=str)
        if as_json
        else structlog.dev.ConsoleRenderer()
    )

    def redacted(logger: object, name: str, event: structlog.typing.EventDict) -> str:
        return redact(str(render(logger, name, event)))

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.dict_tracebacks if as_json else structlog.dev.set_exc_info,
            redacted,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
    structlog.contextvars.bind_contextvars(daemon=daemon)


def logger() -> structlog.typing.FilteringBoundLogger:
    """The process's logger."""
    return cast(structlog.typing.FilteringBoundLogger, structlog.get_logger())
