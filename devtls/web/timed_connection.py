"""The clock of a connection whose HTTP aiohttp speaks: aiohttp itself waits for heads and bodies for ever.

Owns how long a client may be idle, send a head, send a body, and leave a response unread. A request that is being
worked on has no clock: what we do ends by itself. Strategy: it stands between the transport and aiohttp's protocol, and
a middleware tells it where a request begins and ends. Imported in a thread, and aiohttp with it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from enum import Enum, auto
from typing import cast

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from devtls.web.lazy_site import Places, SiteTerms, SiteTimeouts

_SHUTDOWN_S = 0.5
"""aiohttp's own 60 would hold Ctrl-C."""
_LINGER_S = 2.0
"""How long aiohttp reads on behind an early response; its own 10 are more than a client of this machine needs."""


class _SitePhase(Enum):
    IDLE = auto()
    HEAD = auto()
    BODY = auto()
    BUSY = auto()


class TimedConnection(asyncio.Protocol):
    """One connection; `inner` is aiohttp's protocol for it."""

    def __init__(self, inner: asyncio.Protocol, timeouts: SiteTimeouts, places: Places) -> None:
        self._inner = inner
        self._timeouts = timeouts
        self._places = places
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._phase = _SitePhase.IDLE
        self._since = self._loop.time()
        self._rested = False
        """A response is behind it."""
        self._stalled = False
        """The client does not read its response."""
        self._due: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        stalled = ", client stalled" if self._stalled else ""
        return f"<TimedConnection {self._phase.name.lower()}{stalled}>"

    # -- asyncio ------------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin: the first head has its time."""
        # uvloop's transports are none of asyncio's classes, though they have the same methods.
        self._transport = cast(asyncio.Transport, transport)
        self._places.add(self)
        self._enter(_SitePhase.IDLE, self._timeouts.idle_s)
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Pass on; the first byte of a head starts its clock, and no later one stops it."""
        if self._phase is _SitePhase.IDLE:
            self._enter(_SitePhase.HEAD, self._timeouts.head_s)
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """Pass on."""
        return self._inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._places.discard(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        """The client does not keep up."""
        self._stalled = True
        if self._phase is _SitePhase.BUSY:
            self._enter(_SitePhase.BUSY, self._timeouts.stall_s)
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._stalled = False
        if self._phase is _SitePhase.BUSY:
            self._enter(_SitePhase.BUSY, None)
        self._inner.resume_writing()

    # -- a request ----------------------------------------------------------------------------------------------------

    def request_begun(self) -> None:
        """A head is complete; its body may have to come yet."""
        self._enter(_SitePhase.BODY, self._timeouts.body_s)

    def body_complete(self) -> None:
        """The rest is our work."""
        if self._phase is _SitePhase.BODY:
            self._enter(_SitePhase.BUSY, self._timeouts.stall_s if self._stalled else None)

    def request_ended(self) -> None:
        """The response is with the transport."""
        self._rested = True
        self._enter(_SitePhase.IDLE, self._timeouts.idle_s)

    # -- time and place -----------------------------------------------------------------------------------------------

    @property
    def idle_since(self) -> float | None:
        """When it began to wait for its client; None while we work for it."""
        if self._timeouts.only_rested_yield:
            return self._since if self._rested and self._phase is _SitePhase.IDLE else None
        return None if self._phase is _SitePhase.BUSY and not self._stalled else self._since

    def yield_place(self) -> None:
        """Close now: a new client needs the place."""
        self._transport.abort()

    def _enter(self, phase: _SitePhase, after_s: float | None) -> None:
        self._phase, self._since = phase, self._loop.time()
        self._due = None if after_s is None else self._since + after_s
        # One timer that looks again is cheaper than one that each phase sets anew.
        if self._due is not None and (self._timer is None or self._timer.when() > self._due):
            self._arm(self._due)

    def _arm(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._due is None:
            return
        # Timers fire up to the clock's resolution early.
        if self._due > self._loop.time() + 0.001:
            self._arm(self._due)
        # What was written and is not read would be waited for by `close`, without an end.
        elif self._phase is _SitePhase.IDLE and not self._transport.get_write_buffer_size():
            self._transport.close()
        else:
            self._transport.abort()


def make_runner(app: web.Application, terms: SiteTerms, *, cancels: bool = False) -> web.AppRunner:
    """Return what runs `app`; it says nothing by itself: what goes wrong is told to `terms`.

    A handler is cancelled when its client goes away, if it `cancels`.
    """
    app.middlewares.insert(0, _timing(terms.fault))
    # Not in the tree of loggers: aiohttp logs each client that leaves early and each head that is no HTTP, with a
    # traceback, as an error. Neither is one of ours; a bug of ours is reported by the middleware.
    silent = logging.Logger("devtls.web")
    silent.disabled = True
    return web.AppRunner(
        app,
        access_log=None,
        logger=silent,
        shutdown_timeout=_SHUTDOWN_S,
        handler_cancellation=cancels,
        lingering_time=_LINGER_S,
        max_line_size=terms.max_head_bytes,
        max_field_size=terms.max_head_bytes,
    )


def timed(runner: web.AppRunner, terms: SiteTerms) -> Callable[[], asyncio.Protocol]:
    """Return the factory of connections to a runner that is set up."""

    def make() -> asyncio.Protocol:
        server = runner.server
        assert server is not None  # noqa: S101 - `setup` made it
        return TimedConnection(server(), terms.timeouts, terms.places)

    return make


def _timing(fault: Callable[[Exception], None]) -> Middleware:
    @web.middleware
    async def timing(request: web.Request, handler: Handler) -> web.StreamResponse:
        connection = None if request.transport is None else request.transport.get_protocol()
        if not isinstance(connection, TimedConnection):  # the client is gone already
            return await handler(request)
        connection.request_begun()
        request.content.on_eof(connection.body_complete)
        try:
            response = await handler(request)
            # aiohttp would do both behind us, and tell nobody when it is done.
            await response.prepare(request)
            await response.write_eof()
        except (web.HTTPException, ConnectionError):  # a response of its own, or a client that left
            raise
        except Exception as error:
            fault(error)
            raise
        finally:
            connection.request_ended()
        return response

    return timing
