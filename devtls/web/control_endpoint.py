"""The control API of a running proxy: JSON over HTTP on its own Unix socket, and nowhere else.

Owns the paths, who may ask (processes of the same user, by the kernel's word), and the shape of what is sent. Refuses
everybody else, other methods, and bodies that are no JSON of the expected shape. Decides nothing: `Commands` does.
"""

from __future__ import annotations

import os
import socket
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
    LeavesAnswer,
    LeavesRequest,
    LookRequest,
    ReloadRequest,
    RemoveRequest,
    RevokedRequest,
    StatusAnswer,
    StopRequest,
    Trouble,
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

    async def look(self, asked: LookRequest) -> Done:
        """Take over what changed in the state folder."""


def make_control_app(commands: Commands, peer_uid: Callable[[socket.socket], int]) -> web.Application:
    """Return the app; `peer_uid` gives the user at the other end of a connection, and may raise OSError."""

    @web.middleware
    async def ours_only(request: web.Request, handler: _Handler) -> web.StreamResponse:
        if not _is_ours(request, peer_uid):
            return _refusal(403, "This control socket belongs to another user.")
        try:
            return await handler(request)
        except web.HTTPException as error:
            return _refusal(error.status, f"{request.method} {request.path} is nothing that this devtls can do.")
        except msgspec.MsgspecError as error:
            return _refusal(400, f"The request cannot be read: {error}.")

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
    app.router.add_post(LOOK, _reading(LookRequest, commands.look))
    return app


def _reading(kind: type[_Asked], act: Callable[[_Asked], Awaitable[msgspec.Struct]]) -> _Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return _answer(await act(msgspec.json.decode(await request.read(), type=kind)))

    return handle


def _is_ours(request: web.Request, peer_uid: Callable[[socket.socket], int]) -> bool:
    connection = None if request.transport is None else request.transport.get_extra_info("socket")
    if connection is None:  # gone already
        return False
    try:
        return peer_uid(connection) == os.geteuid()
    except OSError:
        return False


def _refusal(status: int, message: str) -> web.Response:
    return _answer(Done(trouble=Trouble(message)), status)


def _answer(content: msgspec.Struct, status: int = 200) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(content), content_type="application/json")
