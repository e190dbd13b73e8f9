"""Plain HTTP that a person typed by mistake: port 80, and the TLS port itself (`http://app.dev.local:8443`).

Owns one answer per connection: 307 to https for a name that is routed, a page without data for every other Host (a
page on the internet may point its own name at 127.0.0.1: it learns nothing here). The proof of an ACME challenge that
is open at this moment is fetched from where the name leads, since whoever looks for it may not follow redirects.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from devtls.http.answers import pages
from devtls.http.events import ClientEvent, Data, EndOfMessage, Malformed, Request, Response
from devtls.http.h1.client import H1ClientCodec
from devtls.http.h1.head import HeadLimits
from devtls.http.headers import get
from devtls.net.acme_challenge import Challenges, fetch
from devtls.net.admission import ConnectionTable
from devtls.routing import RouteTable, Upstream, host_of

_TIMEOUT_S = 10.0


def plain_page(host: str, target: bytes, accept: bytes, routes: RouteTable, https_port: int) -> pages.LocalResponse:
    """Return what an `http://` address gets: the way to https when a route serves `host`, else a page without data."""
    if not routes.serves(host):
        return pages.plain_http_help(accept)
    name = f"[{host}]" if ":" in host else host
    port = "" if https_port == 443 else f":{https_port}"
    return pages.redirect(f"https://{name}{port}".encode("ascii") + (target if target.startswith(b"/") else b"/"))


class PlainConnection(asyncio.Protocol):
    """A client that speaks HTTP without TLS.

    `routes` gives the table of the moment, `challenges` the proofs that may be asked for, `https_port` is ours.
    """

    def __init__(
        self,
        routes: Callable[[], RouteTable],
        https_port: int,
        challenges: Callable[[], Challenges | None] = lambda: None,
    ) -> None:
        self._routes = routes
        self._https_port = https_port
        self._challenges = challenges
        self._fetching: asyncio.Task[None] | None = None
        self._codec = H1ClientCodec(HeadLimits())
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle | None = None
        self._answered = False
        self._places: ConnectionTable | None = None
        self._opened_at = 0.0

    def counted(self, places: ConnectionTable) -> PlainConnection:
        """Return this connection, which counts against the limit of `places` from now on."""
        self._places = places
        return self

    @property
    def idle_since(self) -> float | None:
        """Since when it waits for its client; a proof is being fetched for one that does not."""
        return self._opened_at if self._fetching is None or self._answered else None

    def yield_place(self) -> None:
        """Close now."""
        self._transport.abort()

    def __repr__(self) -> str:
        state = "responded" if self._answered else "fetching a proof" if self._fetching is not None else "waiting"
        return f"<PlainConnection {state}>"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the clock: the whole connection has ten seconds."""
        # uvloop's transports are none of asyncio's classes, though they have the same methods.
        self._transport = cast(asyncio.Transport, transport)
        loop = asyncio.get_running_loop()
        self._opened_at = loop.time()
        self._timer = loop.call_later(_TIMEOUT_S, self._transport.abort)
        if self._places is not None:
            self._places.add(self)

    def data_received(self, data: bytes) -> None:
        """Answer the first request; read and drop what follows it."""
        if self._answered or self._fetching is not None:
            return
        for event in self._codec.receive_data(data):
            self._event(event)

    def eof_received(self) -> bool:
        """The client is done."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock, and cancel a fetch."""
        if self._places is not None:
            self._places.discard(self)
        if self._fetching is not None:
            self._fetching.cancel()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _event(self, event: ClientEvent) -> None:
        if self._answered or self._fetching is not None:
            return
        match event:
            case Request():
                challenges = self._challenges()
                place = challenges.wanted(host_of(event.authority), event) if challenges is not None else None
                if challenges is None or place is None:
                    self._answer(event, self._page(event))
                else:
                    fetching = self._fetch(event, place, challenges)
                    self._fetching = asyncio.get_running_loop().create_task(fetching)
            case Malformed(stream_id, status, reason):
                self._answer(Request(stream_id, b"GET", b"*", b"", []), pages.malformed(status, reason))
            case _:
                return

    async def _fetch(self, request: Request, place: Upstream, challenges: Challenges) -> None:
        found = await fetch(place, host_of(request.authority), request.target, challenges.contexts)
        if isinstance(found, str) or found.status != 200:
            reason = found if isinstance(found, str) else f"the proof was answered with {found.status}"
            self._answer(request, pages.bad_gateway(place.label, [(place.label, reason)], False, b""))
            return
        headers = [(b"Content-Type", b"text/plain"), (b"Content-Length", b"%d" % len(found.body))]
        nosniff = (b"X-Content-Type-Options", b"nosniff")
        self._answer(
            request, pages.LocalResponse(200, [*headers, (b"Cache-Control", b"no-store"), nosniff], found.body)
        )

    def _page(self, request: Request) -> pages.LocalResponse:
        accept = get(request.headers, b"accept") or b""
        return plain_page(host_of(request.authority), request.target, accept, self._routes(), self._https_port)

    def _answer(self, request: Request, page: pages.LocalResponse) -> None:
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
