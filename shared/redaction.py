"""No text that leaves a program holds a secret: known ones go by their words, others by place.

Whoever reads a secret says so here (`keep_secret`, `keep_address`); whoever writes to a log, to
stderr, to the page or to a phone has the text go through `redact`. Reads and writes nothing else.
"""

from __future__ import annotations

import json
import re
import sys
import threading
import traceback
from types import TracebackType
from urllib.parse import quote, unquote

HIDDEN = "***"
#: A shorter secret is part of too many words; where it stands gives it away all the same.
_SHORTEST = 4
_KNOWN: set[str] = set()

_USERINFO = re.compile(r"(?<=://)[^\s'\"]*@")
_PARAMETER = re.compile(
    r"(?i)\b(password|passwd|secret|signature|api_?-?key|x-mbx-apikey|token|listenkey)"
    r"(['\"]?\s?[=:]\s?['\"]?)[^\s&'\",)}]+"
)
_SEPARATORS = re.compile(r"[/?#@:]")


def keep_secret(*texts: str) -> None:
    """Never let one of these out again, however it is spelled."""
    for text in texts:
        for spelled in (text, unquote(text), quote(text, safe="")):
            for form in (spelled, json.dumps(spelled)[1:-1], repr(spelled)[1:-1]):
                if len(form.strip()) >= _SHORTEST:
                    _KNOWN.add(form)


def keep_address(url: str) -> None:
    """Never let the password of an address out again, also of one that cannot be used."""
    _, _, rest = url.partition("://")
    before, at, _ = rest.rpartition("@")
    if at and _authority(rest):
        user, colon, password = before.partition(":")
        secret = password if colon else user
        # An odd character ends the password early for a parser, which then tells of the pieces.
        keep_secret(secret, *_SEPARATORS.split(secret))
    for name, value in re.findall(r"[?&;]([^=&;]+)=([^&;]*)", url):
        if _PARAMETER.match(f"{name}=x"):
            keep_secret(value)


def shown_address(url: str) -> str:
    """An address without its password."""
    scheme, found, rest = url.partition("://")
    if not found:
        return "an address that cannot be read"
    before, at, host = rest.rpartition("@")
    if at and _authority(rest):
        user, colon, _ = before.partition(":")
        rest = f"{user}:{HIDDEN}@{host}" if colon else f"{HIDDEN}@{host}"
    return _PARAMETER.sub(rf"\1\2{HIDDEN}", f"{scheme}://{rest}")


def _authority(rest: str) -> str:
    """The part of an address before its path: none in the address of a socket file."""
    return re.split(r"[/?#]", rest, maxsplit=1)[0]


def redact(text: str) -> str:
    """The text without secrets."""
    for secret in sorted(_KNOWN, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    text = _USERINFO.sub(_without_password, text)
    return _PARAMETER.sub(rf"\1\2{HIDDEN}", text)


def _without_password(found: re.Match[str]) -> str:
    """A user of an address stays; `host@` without a colon may be a password."""
    if not _authority(found[0]):
        return found[0]
    user, colon, _ = found[0].partition(":")
    return f"{user}:{HIDDEN}@" if colon else f"{HIDDEN}@"


def redact_tracebacks() -> None:
    """From here on an exception that nobody takes is written to stderr without secrets."""

    def write(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
            return
        sys.stderr.write(redact("".join(traceback.format_exception(kind, error, trace))))

    def write_of_thread(ended: threading.ExceptHookArgs) -> None:
        if ended.exc_value is not None and not issubclass(ended.exc_type, SystemExit):
            write(ended.exc_type, ended.exc_value, ended.exc_traceback)

    sys.excepthook = write
    threading.excepthook = write_of_thread
