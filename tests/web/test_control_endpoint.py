"""The control API: who may ask, what may be asked, in which shape."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import msgspec
import pytest
from aiohttp import ClientSession, UnixConnector, web

from devtls.web.control_endpoint import Lease, make_control_app
from devtls.web.control_guard import socket_guard
from devtls.web.control_messages import (
    ABOUT,
    FORMAT,
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
    CaStatus,
    Certificates,
    Clients,
    Done,
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
    ServeStatus,
    StatusAnswer,
    StopRequest,
)

SERVE = ServeStatus(
    version="1", pid=1, since="", stopping=False, https_port=1, http_port=None, listen=(), zones=(), config_file=None,
    routes=(), clients=Clients(0, 0), certificates=Certificates(0, 0, 0), ca=CaStatus("a", "b", "c", 1, True),
    reload_error=None, warnings=(),
)  # fmt: skip


class RecordedLease:
    """A lease that says what the test puts into it."""

    answer = JoinAnswer(id="7")

    def __init__(self) -> None:
        self.said: asyncio.Queue[Sequence[JoinMessage]] = asyncio.Queue()
        self.ended = asyncio.Event()

    async def messages(self) -> Sequence[JoinMessage]:
        return await self.said.get()

    async def end(self) -> None:
        self.ended.set()


class Recorded:
    """Commands that remember what they were asked."""

    def __init__(self) -> None:
        self.asked: list[object] = []
        self.lease = RecordedLease()

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

    async def join(self, asked: JoinRequest) -> Lease:
        self.asked.append(asked)
        return self.lease

    async def rejoin(self, asked: MemberRequest) -> Done:
        return self._note(asked)

    async def leave(self, asked: MemberRequest) -> Done:
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

    runner = web.AppRunner(make_control_app(commands, socket_guard(peer_uid)), handler_cancellation=True)
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
    facts |= {"state_dir": "", "listen": [], "stopping": False, "joined": [], "usual_ports": False, "demo": False}
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
        (REJOIN, {"id": "7"}),
        (LEAVE, {"id": "7"}),
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
        MemberRequest(id="7"),
        MemberRequest(id="7"),
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


ASKED = JoinRequest(pid=5, directory="/b", state_dir="/s", ca_sha256="ab")


async def test_a_lease_is_a_line_for_each_message_until_its_client_is_gone(
    ask: Ask, home: Any, commands: Recorded
) -> None:
    async with (
        ClientSession(connector=UnixConnector(str(home / "control.sock"))) as session,
        session.post(f"http://devtls{JOIN}", data=msgspec.json.encode(ASKED)) as response,
    ):
        assert response.content_type == "application/x-ndjson"
        assert json.loads(await response.content.readline())["id"] == "7"
        commands.lease.said.put_nowait([JoinMessage(kind="line", text="a"), JoinMessage(kind="line", text="b")])
        assert [json.loads(await response.content.readline())["text"] for _ in range(2)] == ["a", "b"]
        assert not commands.lease.ended.is_set()
    # No message is due: the end of the connection is all that is to be noticed.
    await asyncio.wait_for(commands.lease.ended.wait(), 5)
    assert commands.asked == [ASKED]


async def test_a_lease_without_messages_ends_its_response(ask: Ask, home: Any, commands: Recorded) -> None:
    commands.lease.said.put_nowait(())
    async with (
        ClientSession(connector=UnixConnector(str(home / "control.sock"))) as session,
        session.post(f"http://devtls{JOIN}", data=msgspec.json.encode(ASKED)) as response,
    ):
        assert len((await response.read()).splitlines()) == 1
    assert commands.lease.ended.is_set()
