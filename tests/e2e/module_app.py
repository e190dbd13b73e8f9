"""An app as an unbundled dev server is one: a page of hundreds of modules, event streams and a WebSocket.

Owns what the tests of browsers look at: how many modules are waited for and were given up, and how many event streams
are open at once. Strategy: events wait until all the streams are there, and modules may be held, so that no test waits
for time to pass.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from aiohttp import WSMsgType, web

_PAGE = """<!doctype html><meta charset="utf-8"><title>modules</title><link rel="icon" href="data:,">
<script>window.ran = 0</script><script type="module" src="/main/{count}.js"></script>"""


class ModuleApp:
    """The app and what it has seen."""

    def __init__(self) -> None:
        self.port = 0
        self.waiting = 0
        self.given_up = 0
        self.streams = 0
        self._held = 0
        self.released = asyncio.Event()
        self.released.set()
        self._all_streams = asyncio.Condition()
        self._ending = asyncio.Event()

    def hold(self, modules: int) -> None:
        """Answer the first ones of a page only when `released` is set."""
        self._held = modules
        self.released.clear()

    async def page(self, request: web.Request) -> web.Response:
        text = _PAGE.format(count=request.match_info["count"])
        return web.Response(text=text, content_type="text/html", headers={"Cache-Control": "no-store"})

    async def main(self, request: web.Request) -> web.Response:
        imports = [f'import "/module/{number}.js";\n' for number in range(int(request.match_info["count"]))]
        return _script("".join(imports) + "window.done = true;\n")

    async def module(self, request: web.Request) -> web.Response:
        if int(request.match_info["number"]) >= self._held:
            return _script("window.ran += 1;\n")
        self.waiting += 1
        try:
            await self.released.wait()
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        finally:
            self.waiting -= 1
        return _script("window.ran += 1;\n")

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Send one event as soon as as many streams are open as the query says; then stay open."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        try:
            async with self._all_streams:
                self.streams += 1
                self._all_streams.notify_all()
                await self._all_streams.wait_for(lambda: self.streams >= int(request.query["together"]))
            await response.write(b"data: %d\n\n" % self.streams)
            await self._ending.wait()
        finally:
            self.streams -= 1
        return response

    async def echo(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=("echo.v1",))
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await socket.send_str(message.data)
            elif message.type is WSMsgType.BINARY:
                await socket.send_bytes(message.data)
        return socket

    async def ready(self, _: web.Request) -> web.Response:
        return web.Response(text="ready")

    async def end(self, _: web.Application) -> None:
        self.released.set()
        self._ending.set()


@contextlib.asynccontextmanager
async def module_app() -> AsyncIterator[ModuleApp]:
    """Serve the app on a free port until the block ends."""
    state = ModuleApp()
    app = web.Application()
    app.router.add_get("/page/{count:\\d+}", state.page)
    app.router.add_get("/main/{count:\\d+}.js", state.main)
    app.router.add_get("/module/{number:\\d+}.js", state.module)
    app.router.add_get("/events", state.events)
    app.router.add_get("/echo", state.echo)
    app.router.add_get("/ready", state.ready)
    app.on_shutdown.append(state.end)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    state.port = runner.addresses[0][1]
    try:
        yield state
    finally:
        await runner.cleanup()


def _script(text: str) -> web.Response:
    return web.Response(text=text, content_type="text/javascript", headers={"Cache-Control": "no-store"})
