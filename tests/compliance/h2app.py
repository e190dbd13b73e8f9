"""An app that speaks HTTP/2 without TLS, on the `h2` library: one coroutine for each request.

What a stream sends waits for the proxy's windows; what it is sent is credited when it is read, so an app that does not
read holds its client back.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import cast

import h2.config
import h2.connection
import h2.events
import h2.exceptions
from h2.settings import SettingCodes, Settings

from tests.net.harness import DEADLINE_S

Fields = list[tuple[bytes, bytes]]
_DEFAULTS: dict[SettingCodes | int, int] = {
    SettingCodes.MAX_CONCURRENT_STREAMS: 100,
    SettingCodes.MAX_HEADER_LIST_SIZE: 65536,
}


class AppStream:
    """One request as the app sees it."""

    def __init__(self, connection: AppH2, stream_id: int, fields: Fields) -> None:
        self.connection = connection
        self.id = stream_id
        self.fields = fields
        self.trailers: Fields | None = None
        self.ended = False
        self.reset_code: int | None = None
        self.done = False
        """The handler has returned."""
        self._pieces: list[tuple[bytes, int]] = []
        self.changed = asyncio.Event()

    def value(self, name: bytes) -> bytes | None:
        """Return a field, or pseudo-field, of the request."""
        return next((value for key, value in self.fields if key == name), None)

    def take(self, piece: bytes, credit: int) -> None:
        """Keep what came."""
        self._pieces.append((piece, credit))
        self.changed.set()

    async def piece(self) -> bytes:
        """Return the next piece of the body, b"" at its end; raises ConnectionError when the stream was reset."""
        async with asyncio.timeout(DEADLINE_S):
            while not self._pieces:
                if self.reset_code is not None:
                    raise ConnectionResetError(f"the stream was reset with {self.reset_code}")
                if self.ended:
                    return b""
                self.changed.clear()
                await self.changed.wait()
        piece, credit = self._pieces.pop(0)
        if credit and self.reset_code is None:
            self.connection.acknowledge(credit, self.id)
        return piece

    async def body(self) -> bytes:
        """Read all of the body."""
        pieces = []
        while piece := await self.piece():
            pieces.append(piece)
        return b"".join(pieces)

    async def was_reset(self) -> int:
        """Wait for RST_STREAM; return its code."""
        async with asyncio.timeout(DEADLINE_S):
            while self.reset_code is None:
                self.changed.clear()
                await self.changed.wait()
        return self.reset_code

    async def head(self, status: int = 200, *more: tuple[bytes, bytes], end: bool = False) -> None:
        """Send a response's head, or an interim one."""
        self.connection.h2.send_headers(self.id, [(b":status", b"%d" % status), *more], end_stream=end)
        await self.connection.flush()

    async def send(self, data: bytes, *, end: bool = False) -> None:
        """Send DATA as the windows allow."""
        view = memoryview(data)
        h2 = self.connection.h2
        while view:
            if self.reset_code is not None:
                raise ConnectionResetError("the stream was reset")
            room = min(h2.local_flow_control_window(self.id), h2.max_outbound_frame_size)
            if room <= 0:
                self.connection.opened.clear()
                await self.connection.opened.wait()
                continue
            piece, view = view[:room], view[room:]
            h2.send_data(self.id, bytes(piece), end_stream=end and not view)
            await self.connection.flush()
        if not data and end:
            h2.end_stream(self.id)
            await self.connection.flush()

    async def end(self, trailers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """End the answer."""
        if trailers := list(trailers):
            self.connection.h2.send_headers(self.id, trailers, end_stream=True)
        else:
            self.connection.h2.end_stream(self.id)
        await self.connection.flush()

    async def answer(self, body: bytes = b"ok", status: int = 200, *more: tuple[bytes, bytes]) -> None:
        """Send a complete answer."""
        await self.head(status, *more, end=not body)
        if body:
            await self.send(body, end=True)

    async def reset(self, code: int) -> None:
        """Send RST_STREAM."""
        self.connection.h2.reset_stream(self.id, code)
        await self.connection.flush()


Handler = Callable[[AppStream], Awaitable[None]]


class AppH2:
    """One connection to the app."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handler: Handler, errors: list[BaseException]
    ) -> None:
        self.reader, self.writer = reader, writer
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding=None))
        self.streams: dict[int, AppStream] = {}
        self.opened = asyncio.Event()
        self.ended = False
        self._handler = handler
        self._errors = errors
        self._tasks: set[asyncio.Task[None]] = set()

    async def flush(self) -> None:
        """Write what is ready."""
        if wire := self.h2.data_to_send():
            self.writer.write(wire)
            await self.writer.drain()

    def acknowledge(self, credit: int, stream_id: int) -> None:
        """Give credit for what was read."""
        with contextlib.suppress(h2.exceptions.ProtocolError):  # the connection is over
            self.h2.acknowledge_received_data(credit, stream_id)
            self.writer.write(self.h2.data_to_send())

    async def goaway(self, last_stream: int) -> None:
        """Say goodbye: streams above `last_stream` were not looked at. The library would end the connection here."""
        self.writer.write(b"\0\0\x08\x07\0\0\0\0\0" + last_stream.to_bytes(4) + bytes(4))
        await self.writer.drain()

    async def run(self, settings: dict[SettingCodes | int, int]) -> None:
        """Serve until the proxy closes."""
        self.h2.local_settings = Settings(
            client=False, initial_values=cast("dict[SettingCodes, int]", {**_DEFAULTS, **settings})
        )
        self.h2.initiate_connection()
        await self.flush()
        try:
            while wire := await self.reader.read(65536):
                for event in self.h2.receive_data(wire):
                    self._on(event)
                await self.flush()
        except (ConnectionError, h2.exceptions.ProtocolError) as error:
            self._errors.append(error)
        finally:
            self.ended = True
            for stream in self.streams.values():
                stream.reset_code = stream.reset_code or (None if stream.ended else -1)
                stream.changed.set()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _on(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived():
                fields = [(bytes(name), bytes(value)) for name, value in event.headers]
                stream = self.streams[event.stream_id] = AppStream(self, event.stream_id, fields)
                task = asyncio.get_running_loop().create_task(self._serve(stream))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            case h2.events.DataReceived():
                self.streams[event.stream_id].take(event.data, event.flow_controlled_length)
            case h2.events.TrailersReceived():
                trailers = [(bytes(name), bytes(value)) for name, value in event.headers]
                self.streams[event.stream_id].trailers = trailers
            case h2.events.StreamEnded():
                self.streams[event.stream_id].ended = True
                self.streams[event.stream_id].changed.set()
            case h2.events.StreamReset():
                self.streams[event.stream_id].reset_code = int(event.error_code)
                self.streams[event.stream_id].changed.set()
                self.opened.set()
            case h2.events.WindowUpdated() | h2.events.RemoteSettingsChanged():
                self.opened.set()
            case _:
                return

    async def _serve(self, stream: AppStream) -> None:
        try:
            await self._handler(stream)
        except (ConnectionError, h2.exceptions.ProtocolError) as error:
            self._errors.append(error)
        finally:
            stream.done = True


@dataclass
class H2App:
    """The app and what it saw."""

    port: int = 0
    connections: list[AppH2] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)

    @property
    def streams(self) -> list[AppStream]:
        """Every request, in order."""
        return [stream for connection in self.connections for stream in connection.streams.values()]


@contextlib.asynccontextmanager
async def h2_app(
    handler: Handler, *, settings: dict[SettingCodes | int, int] | None = None, context: ssl.SSLContext | None = None
) -> AsyncIterator[H2App]:
    """Run the app on a free port; `handler` is awaited for each request. With `context` it speaks TLS."""
    state = H2App()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = AppH2(reader, writer, handler, state.errors)
        state.connections.append(connection)
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await connection.run(dict(settings or {}))
        except asyncio.CancelledError:
            return  # the test is over
        finally:
            tasks.discard(task)
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    state.port = server.sockets[0].getsockname()[1]
    try:
        yield state
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)
