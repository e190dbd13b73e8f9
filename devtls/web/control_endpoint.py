"""The control API of a running proxy: JSON over HTTP on its own channel, and nowhere else.

Owns the paths and the shape of what is sent. Refuses whom its guard refuses (`control_guard`), other methods, and
bodies that are no JSON of the expected shape. Decides nothing: `Commands` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

import msgspec
from aiohttp import web

from devtls.web.control_messages import (
    ABOUT,
    JOIN,
    LEAVE,
    LEAVES,
    LOOK,
    REJOIN,
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
    JoinAnswer,
    JoinMessage,
    JoinRequest,
    LeavesAnswer,
    LeavesRequest,
    MemberRequest,
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


class Lease(Protocol):
    """The stay of a joined process: it ends with the connection."""

    answer: JoinAnswer

    async def messages(self) -> Sequence[JoinMessage]:
        """Return what is to be sent, as soon as there is anything; nothing at the end."""

    async def end(self) -> None:
        """Give the routes up: the connection is closed."""


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

    async def join(self, asked: JoinRequest) -> Lease:
        """Serve the routes of another process."""

    async def rejoin(self, asked: MemberRequest) -> Done:
        """Read the file of a joined process again."""

    async def leave(self, asked: MemberRequest) -> Done:
        """Give up the routes of a joined process."""


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

    async def join(request: web.Request) -> web.StreamResponse:
        return await _stream(request, await commands.join(await _read(request, JoinRequest)))

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
    app.router.add_post(JOIN, join)
    app.router.add_post(REJOIN, _reading(MemberRequest, commands.rejoin))
    app.router.add_post(LEAVE, _reading(MemberRequest, commands.leave))
    return app


def _reading(kind: type[_Asked], act: Callable[[_Asked], Awaitable[msgspec.Struct]]) -> _Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        # Shielded: a handler is cancelled when its client goes away (`CANCEL_ON_DISCONNECT`), a reload is not.
        return _answer(await asyncio.shield(asyncio.ensure_future(act(await _read(request, kind)))))

    return handle


async def _read(request: web.Request, kind: type[_Asked]) -> _Asked:
    return msgspec.json.decode(await request.read(), type=kind)


async def _stream(request: web.Request, lease: Lease) -> web.StreamResponse:
    """Send what a lease has to say, a line of JSON each, until it or the connection ends."""
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    try:
        await response.prepare(request)
        messages: Sequence[msgspec.Struct] = (lease.answer,)
        while messages:
            await response.write(b"".join(msgspec.json.encode(each) + b"\n" for each in messages))
            messages = await lease.messages()
    except ConnectionError:  # the same end, seen by a write
        return response
    finally:
        await asyncio.shield(asyncio.ensure_future(lease.end()))
    return response


def refusal(status: int, message: str) -> web.Response:
    """Return an answer that says why nothing was done."""
    return _answer(Done(error=ErrorInfo(message)), status)


def _answer(content: msgspec.Struct, status: int = 200) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(content), content_type="application/json")
