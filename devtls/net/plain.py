"""Plain HTTP where people meet it by mistake: port 80, and the TLS port itself (`http://app.dev.local:8443`).

Owns one answer per connection: 307 to https for a name that is routed, a page without data for every other Host (a
page on the internet may point its own name at 127.0.0.1: it learns nothing here).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from devtls.http import pages
from devtls.http.events import ClientEvent, Data, EndOfMessage, Malformed, Request, Response
from devtls.http.h1.head import HeadLimits
from devtls.http.h1.server import H1Server
from devtls.http.headers import get
from devtls.routing import RouteTable, host_of

_TIMEOUT_S = 10.0


def plain_page(host: str, target: bytes, accept: bytes, routes: RouteTable, https_port: int) -> pages.Answer:
    """Return what an `http://` address gets: the way to https when a route serves `host`, else a page without data."""
    if not routes.serves(host):
        return pages.plain_http_help(accept)
    name = f"[{host}]" if ":" in host else host
    port = "" if https_port == 443 else f":{https_port}"
    return pages.redirect(f"https://{name}{port}".encode("ascii") + (target if target.startswith(b"/") else b"/"))


class PlainConnection(asyncio.Protocol):
    """A client that speaks HTTP without TLS; `routes` gives the table of the moment, `https_port` is ours."""

    def __init__(self, routes: Callable[[], RouteTable], https_port: int) -> None:
        self._routes = routes
        self._https_port = https_port
        self._codec = H1Server(HeadLimits())
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle | None = None
        self._answered = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the clock: the whole connection has ten seconds."""
        # uvloop's transports are none of asyncio's classes, though they have the same methods.
        self._transport = cast(asyncio.Transport, transport)
        self._timer = asyncio.get_running_loop().call_later(_TIMEOUT_S, self._transport.abort)

    def data_received(self, data: bytes) -> None:
        """Answer the first request; read and drop what follows it."""
        if self._answered:
            return
        for event in self._codec.receive_data(data):
            self._event(event)

    def eof_received(self) -> bool:
        """The client is done."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _event(self, event: ClientEvent) -> None:
        if self._answered:
            return
        match event:
            case Request():
                self._answer(event, self._page(event))
            case Malformed(stream_id, status, reason):
                self._answer(Request(stream_id, b"GET", b"*", b"", []), pages.malformed(status, reason))
            case _:
                return

    def _page(self, request: Request) -> pages.Answer:
        accept = get(request.headers, b"accept") or b""
        return plain_page(host_of(request.authority), request.target, accept, self._routes(), self._https_port)

    def _answer(self, request: Request, page: pages.Answer) -> None:
        self._answered = True
        codec, stream = self._codec, request.stream_id
        codec.close_after_response()
        bodiless = request.method == b"HEAD"
        out = codec.send(Response(stream, page.status, list(page.headers), b"", 0 if bodiless else len(page.body)))
        if page.body and not bodiless:
            out += codec.send(Data(stream, page.body))
        out += codec.send(EndOfMessage(stream))
        self._transport.write(out)
        if codec.request_complete:
            self._transport.close()
        else:
            self._transport.write_eof()  # the rest of a body is read and dropped until the client or the clock ends it
