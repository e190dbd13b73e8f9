"""What the unit tests of HTTP/2 connections put in the place of sockets: a transport that keeps what is written."""

from __future__ import annotations

import asyncio
from typing import Any

from devtls.http.actions import DialFailed
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
