"""What the drivers of Chromium and Firefox share: their failures, their WebSocket, and the end of their processes.

Owns one connection that carries numbered JSON commands, their answers, and events. Refuses to know what a command
means: that is the driver's.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

Message = dict[str, Any]

POLL_S = 0.03

_COMMAND_TIMEOUT_S = 30.0
_END_TIMEOUT_S = 5.0


class BrowserFailed(Exception):
    """The browser did not start, or refused a command of the protocol."""


class ScriptFailed(Exception):
    """JavaScript that a test evaluated threw."""


class WaitTimedOut(AssertionError):
    """A condition did not become true; the text says what the page showed instead."""


@dataclass
class Wire:
    """The connection to a browser; `page_of` says for an event which page it is about."""

    socket: aiohttp.ClientWebSocketResponse
    page_of: Callable[[Message], str]
    _numbers: itertools.count[int] = field(default_factory=itertools.count)
    _waiting: dict[int, asyncio.Future[Message]] = field(default_factory=dict)
    _listeners: dict[str, Callable[[str, Message], None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._reader = asyncio.ensure_future(self._read())

    def listen(self, page: str, listener: Callable[[str, Message], None]) -> None:
        """Hand the events of one page, as name and content, to `listener`."""
        self._listeners[page] = listener

    async def call(self, method: str, parameters: Message | None = None, **more: str) -> Message:
        """Send a command and return its result; `more` are fields beside its parameters."""
        number = next(self._numbers)
        command = {"id": number, "method": method, "params": parameters or {}, **more}
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            await self.socket.send_str(json.dumps(command))
            async with asyncio.timeout(_COMMAND_TIMEOUT_S):
                return await answer
        finally:
            self._waiting.pop(number, None)

    async def close(self) -> None:
        await self.socket.close()
        await self._reader

    async def _read(self) -> None:
        async for frame in self.socket:
            message: Message = json.loads(frame.data)
            if "id" in message:
                self._settle(message)
            elif listener := self._listeners.get(self.page_of(message)):
                listener(message["method"], message["params"])
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(BrowserFailed("the browser ended"))

    def _settle(self, message: Message) -> None:
        answer = self._waiting.get(message["id"])
        if answer is None or answer.done():
            return
        if "error" in message:
            # DevTools put the text into the error, BiDi beside it.
            detail = message["error"] if isinstance(message["error"], dict) else message
            answer.set_exception(BrowserFailed(detail["message"]))
        else:
            answer.set_result(message["result"])


async def end_group(process: asyncio.subprocess.Process) -> None:
    """End a browser with all its children: kindly, then not."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
        try:
            async with asyncio.timeout(_END_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            continue
        return
