"""The demo app: `/`, `/headers`, `/echo` (WebSocket), `/clock` (SSE), `/ready`.

Owns the routes and their life: when the app stops, open WebSockets are closed and clocks end at once, so that Ctrl-C
never waits for a browser tab. Refuses nothing on purpose: it shows what arrives.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime

from aiohttp import WSCloseCode, WSMsgType, web

from devtls.demo import page

_SECURITY_HEADERS = {
    # connect-src names ws: and wss: because Safari before 15.4 does not count them as 'self'.
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src data:; "
    "connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
# An echo holds a message in memory whole.
_MESSAGE_LIMIT_BYTES = 64 * 1024
# Seconds that aiohttp waits for handlers: ours end at the signal.
_SHUTDOWN_S = 0.5

_sockets = web.AppKey("sockets", set[web.WebSocketResponse])
_stopping = web.AppKey("stopping", asyncio.Event)
_tick_s = web.AppKey("tick_s", float)


def make_app(*, tick_s: float = 1.0) -> web.Application:
    """Return the app; its clock sends one event every `tick_s` seconds."""
    app = web.Application()
    app[_tick_s] = tick_s
    app[_sockets] = set()
    app.cleanup_ctx.append(_stop_signal)
    # on_shutdown, not on_cleanup: aiohttp waits for handlers in between.
    app.on_shutdown.append(_close_streams)
    app.router.add_get("/", _show_page)
    app.router.add_get("/page.css", _style)
    app.router.add_get("/page.js", _script)
    app.router.add_get("/headers", _headers)
    app.router.add_get("/echo", _echo)
    app.router.add_get("/clock", _clock)
    app.router.add_get("/ready", _ready)
    return app


async def start(host: str = "127.0.0.1", port: int = 0) -> tuple[web.AppRunner, int]:
    """Serve the app on `host`; return the runner (await its `cleanup()` to stop) and the port that it got."""
    runner = web.AppRunner(make_app(), access_log=None, shutdown_timeout=_SHUTDOWN_S)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    # The port is taken: the runner has begun, so it must end.
    except OSError:
        await runner.cleanup()
        raise
    return runner, int(runner.addresses[0][1])


async def _stop_signal(app: web.Application) -> AsyncIterator[None]:
    app[_stopping] = asyncio.Event()
    yield


async def _close_streams(app: web.Application) -> None:
    app[_stopping].set()
    sockets = app[_sockets]
    # 1001, going away (RFC 6455 7.4.1).
    await asyncio.gather(*[socket.close(code=WSCloseCode.GOING_AWAY, message=b"the demo ends") for socket in sockets])


async def _show_page(request: web.Request) -> web.Response:
    line = f"{request.method} {request.raw_path}"
    text = page.render(line, _received(request))
    return web.Response(text=text, content_type="text/html", headers=_SECURITY_HEADERS)


async def _style(_: web.Request) -> web.Response:
    return web.Response(text=page.asset("page.css"), content_type="text/css", headers=_SECURITY_HEADERS)


async def _script(_: web.Request) -> web.Response:
    return web.Response(text=page.asset("page.js"), content_type="text/javascript", headers=_SECURITY_HEADERS)


async def _headers(request: web.Request) -> web.Response:
    answer = {"method": request.method, "target": request.raw_path, "headers": _received(request)}
    return web.json_response(answer, headers=_SECURITY_HEADERS)


async def _ready(_: web.Request) -> web.Response:
    return web.Response(text="ready\n")


async def _echo(request: web.Request) -> web.StreamResponse:
    socket = web.WebSocketResponse(max_msg_size=_MESSAGE_LIMIT_BYTES, heartbeat=20.0)
    # 426 tells which protocol is wanted (RFC 9110 15.5.22).
    if not socket.can_prepare(request):
        return web.Response(status=426, text="This is a WebSocket: connect to it with wss://\n")
    await socket.prepare(request)
    request.app[_sockets].add(socket)
    try:
        await _echo_messages(socket)
    finally:
        request.app[_sockets].discard(socket)
    return socket


async def _echo_messages(socket: web.WebSocketResponse) -> None:
    async for message in socket:
        match message.type:
            case WSMsgType.TEXT:
                await socket.send_str(message.data)
            case WSMsgType.BINARY:
                await socket.send_bytes(message.data)
            case _:
                break


async def _clock(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    await response.prepare(request)
    stopping = request.app[_stopping]
    while not stopping.is_set():
        event = json.dumps({"time": datetime.now().astimezone().isoformat(timespec="milliseconds")})
        try:
            await response.write(f"data: {event}\n\n".encode())
        except ConnectionResetError:
            break  # The browser left: the ordinary end of an event stream.
        await _wait(stopping, request.app[_tick_s])
    return response


async def _wait(event: asyncio.Event, limit_s: float) -> None:
    await asyncio.wait([waiter := asyncio.ensure_future(event.wait())], timeout=limit_s)
    waiter.cancel()


def _received(request: web.Request) -> list[tuple[str, str]]:
    """Return the headers as the app got them: order, spelling and repeats kept."""
    return [(_text(name), _text(value)) for name, value in request.raw_headers]


def _text(raw: bytes) -> str:
    # Field values are bytes (RFC 9110 5.5): what is not UTF-8 is shown, not refused.
    return raw.decode("utf-8", "backslashreplace")
