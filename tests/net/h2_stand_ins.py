"""What the unit tests of HTTP/2 connections put in the place of sockets, of an app on `h2`, and of relays."""

from __future__ import annotations

import asyncio
from typing import Any

import h2.config
import h2.connection
import h2.events

from devtls.http.actions import DialFailed
from devtls.http.events import Request, UpstreamEvent
from devtls.http.h2.limits import H2Limits
from devtls.net.upstream.h2 import H2UpstreamConnection
from devtls.net.upstream.h2_stream import H2UpstreamStream
from devtls.routing import Upstream

UPSTREAM = Upstream((("127.0.0.1", 9),), "127.0.0.1", 9, "", None, "http://127.0.0.1:9", True)


class NotingTransport(asyncio.Transport):
    """A transport that notes; `waiting` is what its buffer pretends to hold."""

    def __init__(self, **info: Any) -> None:
        super().__init__(info)
        self.written = b""
        self.calls: list[str] = []
        self.waiting = 0
        self.closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def taken(self) -> bytes:
        """Return what was written since the last time."""
        written, self.written = self.written, b""
        return written

    def write_eof(self) -> None:
        self.calls.append("write_eof")

    def can_write_eof(self) -> bool:
        return True

    def pause_reading(self) -> None:
        self.calls.append("pause")

    def resume_reading(self) -> None:
        self.calls.append("resume")

    def close(self) -> None:
        self.closing = True
        self.calls.append("close")

    def abort(self) -> None:
        self.closing = True
        self.calls.append("abort")

    def is_closing(self) -> bool:
        return self.closing

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.calls.append(f"limit {high}")

    def get_write_buffer_size(self) -> int:
        return self.waiting


class Dialler:
    """A `connect` that hands out what it was given, when it is told to."""

    def __init__(self, *outcomes: Any) -> None:
        self.outcomes = list(outcomes)
        self.asked = 0
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self) -> Any:
        self.asked += 1
        await self.go.wait()
        return self.outcomes.pop(0) if self.outcomes else DialFailed((("nowhere", "refused"),))


class User:
    """An UpstreamUser that keeps what it is given, one list for each call."""

    def __init__(self) -> None:
        self.bursts: list[list[UpstreamEvent]] = []
        self.writable: list[bool] = []
        self.flushes = 0

    @property
    def events(self) -> list[UpstreamEvent]:
        return [event for burst in self.bursts for event in burst]

    def upstream_events(self, events: list[UpstreamEvent]) -> None:
        self.bursts.append(events)

    def upstream_event(self, event: UpstreamEvent) -> None:
        self.bursts.append([event])

    def upstream_flush(self) -> None:
        self.flushes += 1

    def upstream_writable(self, writable: bool) -> None:
        self.writable.append(writable)


class Shared:
    """The connection, its transport, and the app on `h2`."""

    def __init__(self, limits: H2Limits | None = None) -> None:
        self.lost: list[H2UpstreamConnection] = []
        self.connection = H2UpstreamConnection(UPSTREAM, limits or H2Limits(), self.lost.append)
        self.transport = NotingTransport()
        self.app = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding=None))
        self.heard: list[h2.events.Event] = []

    def begin(self) -> None:
        self.connection.connection_made(self.transport)
        self.app.initiate_connection()
        self.exchange()

    def exchange(self) -> None:
        """Let both sides read what the other has written."""
        while True:
            to_app = self.transport.taken()
            if to_app:
                self.heard += self.app.receive_data(to_app)
            from_app = self.app.data_to_send()
            if from_app:
                self.connection.data_received(from_app)
            if not to_app and not from_app:
                return

    async def settle(self) -> None:
        """The turn of the loop ends: what was encoded is sent."""
        await asyncio.sleep(0)
        self.exchange()
        await asyncio.sleep(0)
        self.exchange()

    def asked(self, label: int = 1, **more: Any) -> tuple[H2UpstreamStream, User]:
        stream, user = self.connection.open(), User()
        stream.user = user
        fields = [(b"Host", b"app.dev.local")]
        stream.send(
            Request(label, more.pop("method", b"GET"), more.pop("target", b"/"), b"app.dev.local", fields, **more)
        )
        stream.flush()
        return stream, user

    def answer(self, stream_id: int, body: bytes = b"", *, end: bool = True) -> None:
        self.app.send_headers(stream_id, [(b":status", b"200")], end_stream=end and not body)
        if body:
            self.app.send_data(stream_id, body, end_stream=end)

    def of_kind(self, kind: type[h2.events.Event]) -> list[Any]:
        return [event for event in self.heard if isinstance(event, kind)]
