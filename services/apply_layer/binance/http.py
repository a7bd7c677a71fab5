"""One HTTP exchange with a venue: a request goes out, the whole answer is in by a deadline.

A time limit for each read is none for the answer: one that drips a byte a second would never end.
So the deadline stands before each read from the socket, for the headers as for the body. Nothing
is repeated, no redirect is followed. All threads may call.
"""

from __future__ import annotations

import io
import logging
import socket
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from typing import Any

import certifi
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

#: No answer of the venue is longer; the list of all its symbols has some 3 MB.
_BODY_MAX = 32 * 2**20
_CHUNK = 2**16
_CONNECTIONS = 16


class Lost(Exception):
    """No whole answer. `waited`: the time was up; `unsent`: the venue never heard the request."""

    def __init__(self, reason: str, *, waited: bool = False, unsent: bool = False) -> None:
        super().__init__(reason)
        self.waited = waited
        self.unsent = unsent


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer."""

    http: int
    headers: Mapping[str, str]
    body: bytes


class _UntilDeadline(io.RawIOBase):
    """What a socket brings until a deadline; `sock` has as its timeout how far off that is."""

    def __init__(self, sock: socket.socket, raw: io.RawIOBase) -> None:
        self._sock = sock
        self._raw = raw
        self._ends_at = time.monotonic() + (sock.gettimeout() or 0.0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left_s = self._ends_at - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("the answer takes too long")
        self._sock.settimeout(left_s)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(HTTPResponse):
    """An answer that is read until the deadline and no longer."""

    def __init__(self, sock: socket.socket, *args: Any, **more: Any) -> None:
        super().__init__(sock, *args, **more)
        raw = self.fp.detach()
        self.fp = io.BufferedReader(_UntilDeadline(sock, raw))


class _Plain(HTTPConnection):
    response_class = _Response


class _Secure(HTTPSConnection):
    response_class = _Response


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _Secure


class Http:
    """Connections that are kept; each exchange has `timeout_s` from its beginning to its end."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._pools = urllib3.PoolManager(
            maxsize=_CONNECTIONS, cert_reqs="CERT_REQUIRED", ca_certs=certifi.where()
        )
        self._pools.pool_classes_by_scheme = {"http": _PlainPool, "https": _SecurePool}
        # It would write down whole addresses, and with them what was signed.
        logging.getLogger("urllib3").setLevel(logging.ERROR)

    def exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: str | None
    ) -> Reply:
        """Send one request and read its answer.

        Raises:
            Lost: no whole answer came in time.
        """
        ends_at = time.monotonic() + self._timeout_s
        try:
            response = self._pools.request(
                method,
                url,
                headers=headers,
                body=body.encode() if body else None,
                timeout=urllib3.Timeout(total=self._timeout_s),
                retries=False,
                redirect=False,
                preload_content=False,
            )
            with closing(response):
                told = _whole(response)
                # Only a connection whose answer is read to its end can serve again.
                response.release_conn()
        except (NewConnectionError, ConnectTimeoutError) as error:
            raise Lost(_name(error), waited=_is_past(ends_at), unsent=True) from None
        except (HTTPError, HTTPException, OSError, ValueError) as error:
            raise Lost(_name(error), waited=_is_past(ends_at)) from None
        return Reply(response.status, dict(response.headers), told)


def _whole(response: urllib3.BaseHTTPResponse) -> bytes:
    parts: list[bytes] = []
    size = 0
    for chunk in response.stream(_CHUNK):
        size += len(chunk)
        if size > _BODY_MAX:
            raise Lost(f"the answer is longer than {_BODY_MAX} bytes")
        parts.append(chunk)
    return b"".join(parts)


def _is_past(moment: float) -> bool:
    return time.monotonic() >= moment - 0.01


def _name(error: Exception) -> str:
    """What went wrong; never its text, in which whole addresses stand."""
    return type(error).__name__
