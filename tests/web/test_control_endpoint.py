"""The control API: who may ask, what may be asked, in which shape."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import ClientSession, UnixConnector, web

from devtls.web.control_endpoint import make_control_app
from devtls.web.control_guard import socket_guard
from devtls.web.control_messages import (
    ABOUT,
    FORMAT,
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
    CaStatus,
    Certificates,
    Clients,
    Done,
    LeavesAnswer,
    LeavesRequest,
    RefreshRequest,
    ReloadRequest,
    RemoveRequest,
    RevokedRequest,
    ServeStatus,
    StatusAnswer,
    StopRequest,
)

SERVE = ServeStatus(
    version="1", pid=1, since="", stopping=False, https_port=1, http_port=None, listen=(), zones=(), config_file=None,
    routes=(), clients=Clients(0, 0), certificates=Certificates(0, 0, 0), ca=CaStatus("a", "b", "c", 1, True),
    reload_error=None, warnings=(),
)  # fmt: skip


class Recorded:
    """Commands that remember what they were asked."""

    def __init__(self) -> None:
        self.asked: list[object] = []

    def about(self) -> About:
        return About(version="1", pid=1, https_port=443, config_file=None)

    async def status(self) -> StatusAnswer:
        return StatusAnswer(serve=SERVE)

    async def add(self, asked: AddRequest) -> Done:
        return self._note(asked)

    async def remove(self, asked: RemoveRequest) -> Done:
        return self._note(asked)

    async def reload(self, asked: ReloadRequest) -> Done:
        return self._note(asked)

    async def stop(self, asked: StopRequest) -> Done:
        return self._note(asked)

    async def leaves(self, asked: LeavesRequest) -> LeavesAnswer:
        self.asked.append(asked)
        return LeavesAnswer(sha256="ab", serials=("0a",))

    async def revoked(self, asked: RevokedRequest) -> Done:
        return self._note(asked)

    async def look(self, asked: RefreshRequest) -> Done:
        return self._note(asked)

    def _note(self, asked: object) -> Done:
        self.asked.append(asked)
        return Done()


Ask = Callable[..., Any]


@pytest.fixture
def commands() -> Recorded:
    return Recorded()


@pytest.fixture
def peer() -> list[int | OSError]:
    return [os.geteuid()]


@pytest.fixture
async def ask(home: Any, commands: Recorded, peer: list[int | OSError]) -> AsyncIterator[Ask]:
    def peer_uid(connection: socket.socket) -> int:
        assert connection.family == socket.AF_UNIX
        if isinstance(peer[0], OSError):
            raise peer[0]
        return peer[0]

    runner = web.AppRunner(make_control_app(commands, socket_guard(peer_uid)))
    await runner.setup()
    await web.UnixSite(runner, str(home / "control.sock")).start()

    async def begin(method: str, path: str, body: object = None, **headers: str) -> tuple[int, dict[str, Any]]:
        connector = UnixConnector(str(home / "control.sock"))
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with (
            ClientSession(connector=connector) as session,
            session.request(method, f"http://devtls{path}", data=data, headers=headers) as response,
        ):
            assert response.content_type == "application/json"
            return response.status, await response.json()

    yield begin
    await runner.cleanup()


async def test_questions_are_answered_with_the_format(ask: Ask) -> None:
    facts = {"version": "1", "pid": 1, "https_port": 443, "config_file": None, "pac_port": None, "pac_trouble": ""}
    assert await ask("GET", ABOUT) == (200, {**facts, "format": FORMAT})
    status, answer = await ask("GET", STATUS)
    assert (status, answer["format"], answer["serve"]["certificates"]["minted"]) == (200, FORMAT, 0)


async def test_orders_reach_the_proxy(ask: Ask, commands: Recorded) -> None:
    for path, body in (
        (ROUTES, {"name": "app", "value": 3000, "folder": "/"}),
        (REMOVE, {"name": "app"}),
        (RELOAD, {"why": "x", "a_later_field": 1}),
        (STOP, {}),
        (LEAVES, {"name": "app.test"}),
        (REVOKED, {}),
        (LOOK, {}),
    ):
        assert (await ask("POST", path, body))[0] == 200
    assert commands.asked == [
        AddRequest(name="app", value=3000, directory="/"),
        RemoveRequest(name="app"),
        ReloadRequest(why="x"),
        StopRequest(now=False),
        LeavesRequest(name="app.test"),
        RevokedRequest(),
        RefreshRequest(),
    ]
    assert (await ask("POST", LEAVES, {"name": "x"}))[1] == {"sha256": "ab", "serials": ["0a"], "format": FORMAT}


@pytest.mark.parametrize("stranger", [os.geteuid() + 1, OSError("no credentials")])
async def test_another_user_gets_nothing(
    ask: Ask, commands: Recorded, peer: list[int | OSError], stranger: int | OSError
) -> None:
    peer[0] = stranger
    for method, path in (("GET", STATUS), ("GET", ABOUT), ("POST", STOP), ("GET", "/elsewhere")):
        status, answer = await ask(method, path, {})
        assert status == 403
        assert "another user" in answer["trouble"]["message"]
    assert commands.asked == []


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (("GET", STOP, {}), 405),
        (("POST", STATUS, {}), 405),
        (("GET", "/v2/status", {}), 404),
        (("POST", STOP, b"now"), 400),
        (("POST", REMOVE, {"name": 5}), 400),
        (("POST", ROUTES, {"name": "app"}), 400),
    ],
)
async def test_what_is_no_order_changes_nothing(
    ask: Ask, commands: Recorded, request_: tuple[str, str, object], status: int
) -> None:
    found, answer = await ask(*request_)
    assert found == status
    assert answer["trouble"]["message"]
    assert commands.asked == []


async def test_a_request_that_a_proxy_forwarded_gets_nothing(ask: Ask, commands: Recorded) -> None:
    """A route to a socket that became a link to the control socket would lead here, with the right user."""
    for method, path in (("GET", ABOUT), ("POST", STOP), ("GET", "/unknown")):
        status, answer = await ask(method, path, **{"X-Forwarded-For": "127.0.0.1"})
        assert (status, answer["trouble"]["message"]) == (403, "The control API is never behind a route.")
    assert commands.asked == []
