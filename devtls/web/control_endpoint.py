"""The control API of a running proxy: JSON over HTTP on its own channel, and nowhere else.

Owns the paths and the shape of what is sent. Refuses whom its guard refuses (`control_guard`), other methods, and
bodies that are no JSON of the expected shape. Decides nothing: `Commands` does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import msgspec
from aiohttp import web

from devtls.web.control_messages import (
    ABOUT,
    LEAVES,
    LOOK,
    RELOAD,
    REMOVE,
    REVOKED,
    ROUTES,
    STATUS,
    STOP,
    About,
    AddRequest,
    Done,
    ErrorInfo,
    LeavesAnswer,
    LeavesRequest,
    RefreshRequest,
    ReloadRequest,
    RemoveRequest,
    RevokedRequest,
    StatusAnswer,
    StopRequest,
)
from devtls.web.server_name import name_server

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_Asked = TypeVar("_Asked")


class Commands(Protocol):
    """What a running proxy can be asked."""

    def about(self) -> About:
        """Say who this is."""

    async def status(self) -> StatusAnswer:
        """Say how things are."""

    async def add(self, asked: AddRequest) -> Done:
        """Take a route for this run."""

    async def remove(self, asked: RemoveRequest) -> Done:
        """Give up a route of this run."""

    async def reload(self, asked: ReloadRequest) -> Done:
        """Read everything again."""

    async def stop(self, asked: StopRequest) -> Done:
        """End, after the answer."""

    async def leaves(self, asked: LeavesRequest) -> LeavesAnswer:
        """Say which leaves hold a name."""

    async def revoked(self, asked: RevokedRequest) -> Done:
        """Give up the leaves that were revoked."""

    async def look(self, asked: RefreshRequest) -> Done:
        """Take over what changed in the state directory."""


Guard = Callable[[web.Request], Awaitable[web.Response | None]]
"""Returns None for a request that may go on, else the answer to it."""


def make_control_app(commands: Commands, guard: Guard) -> web.Application:
    """Return the app, which answers whom `guard` lets through."""

    @web.middleware
    async def ours_only(request: web.Request, handler: _Handler) -> web.StreamResponse:
        # The proxy adds it to all that it forwards, whatever link led a route here.
        if "X-Forwarded-For" in request.headers:
            return refusal(403, "The control API is never behind a route.")
        # A middleware, so that unknown paths are guarded as well: nobody else learns what exists.
        refused = await guard(request)
        if refused is not None:
            return refused
        try:
            return await handler(request)
        except web.HTTPException as error:
            return refusal(error.status, f"{request.method} {request.path} is nothing that this devtls can do.")
        except msgspec.MsgspecError as error:
            return refusal(400, f"The request cannot be read: {error}.")

    async def about(_: web.Request) -> web.StreamResponse:
        return _answer(commands.about())

    async def status(_: web.Request) -> web.StreamResponse:
        return _answer(await commands.status())

    app = web.Application(middlewares=[ours_only])
    app.on_response_prepare.append(name_server)
    app.router.add_get(ABOUT, about, allow_head=False)
    app.router.add_get(STATUS, status, allow_head=False)
    app.router.add_post(ROUTES, _reading(AddRequest, commands.add))
    app.router.add_post(REMOVE, _reading(RemoveRequest, commands.remove))
    app.router.add_post(RELOAD, _reading(ReloadRequest, commands.reload))
    app.router.add_post(STOP, _reading(StopRequest, commands.stop))
    app.router.add_post(LEAVES, _reading(LeavesRequest, commands.leaves))
    app.router.add_post(REVOKED, _reading(RevokedRequest, commands.revoked))
    app.router.add_post(LOOK, _reading(RefreshRequest, commands.look))
    return app


def _reading(kind: type[_Asked], act: Callable[[_Asked], Awaitable[msgspec.Struct]]) -> _Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return _answer(await act(msgspec.json.decode(await request.read(), type=kind)))

    return handle


def refusal(status: int, message: str) -> web.Response:
    """Return an answer that says why nothing was done."""
    return _answer(Done(error=ErrorInfo(message)), status)


def _answer(content: msgspec.Struct, status: int = 200) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(content), content_type="application/json")
