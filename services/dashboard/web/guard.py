"""Who may ask, and what a browser may do with the answer.

The page listens on this machine alone. But any web site that its user opens could have the browser
ask it, under a name that the site makes point to 127.0.0.1; so only names that are expected are
answered. What is shown was written by strangers, too: nothing but our own files may run.
"""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "object-src 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=()",
    # A page of yesterday is worse than none, and so is yesterday's script with today's data.
    "Cache-Control": "no-store",
    "Server": "quantum",
}


def name_in(host: str) -> str:
    """The name in a Host header, in small letters, without its port."""
    if host.startswith("["):
        name, closed, rest = host.partition("]")
        port = rest.removeprefix(":") if rest.startswith(":") else rest and "?"
        name += closed
    else:
        name, _, port = host.partition(":")
    return "" if port and not (port.isascii() and port.isdecimal()) else name.lower()


def guard(names: frozenset[str]) -> Middleware:
    """Answer those alone who ask for one of `names`, and only to look."""

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        if name_in(request.headers.get("Host", "")) not in names:
            text = "This page answers to localhost and to [dashboard] host_names alone.\n"
            raise web.HTTPMisdirectedRequest(text=text)
        if request.method not in ("GET", "HEAD"):
            raise web.HTTPMethodNotAllowed(request.method, ("GET", "HEAD"))
        return await handler(request)

    return guarded


async def harden(_request: web.Request, response: web.StreamResponse) -> None:
    """Put the headers on every answer."""
    response.headers.update(HEADERS)
