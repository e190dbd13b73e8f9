"""The observer of error responses: a framework's host check is recognised while the response passes untouched."""

from __future__ import annotations

import pytest

from devtls.http.answers.host_check import SNIFF_BYTES, HostCheck
from devtls.http.events import Data, EndOfMessage, Request, Response
from devtls.net.host_check import HostCheckObserver, may_be_host_check
from devtls.net.tap import Direction
from tests.net.recorder import Recorder

VITE = (
    b'Blocked request. This host ("app.dev.local") is not allowed.\nAdd it to server.allowedHosts in vite.config.js.\n'
)


def head(status: int = 403) -> Response:
    return Response(1, status, [(b"content-type", b"text/plain")], b"", None)


def observer(recorder: Recorder | None = None) -> tuple[HostCheckObserver, list[HostCheck]]:
    found: list[HostCheck] = []
    return HostCheckObserver(head(), recorder, found.append), found


@pytest.mark.parametrize(("status", "expected"), [(200, False), (404, False), (403, True), (400, True), (500, False)])
def test_only_some_statuses_are_worth_a_look(status: int, expected: bool) -> None:
    assert may_be_host_check(head(status)) is expected


def test_a_body_in_pieces_is_recognised_once_at_its_end() -> None:
    made, found = observer()
    for place in range(0, len(VITE), 7):
        made.response(Data(1, VITE[place : place + 7]))
    assert found == []
    made.response(EndOfMessage(1))
    made.response(EndOfMessage(1))
    assert [check.framework for check in found] == ["Vite"]


def test_a_long_body_is_recognised_when_enough_of_it_is_here() -> None:
    made, found = observer()
    made.response(Data(1, VITE + b"x" * SNIFF_BYTES))
    assert [check.framework for check in found] == ["Vite"]


def test_an_ordinary_refusal_is_none() -> None:
    made, found = observer()
    made.response(Data(1, b"Forbidden"))
    made.response(EndOfMessage(1))
    assert found == []


def test_a_recorder_behind_it_gets_everything() -> None:
    recorder = Recorder(Request(1, b"GET", b"/", b"app", []), None)
    made, _ = observer(recorder)
    made.request(EndOfMessage(1))
    made.dialling()
    made.attempt(recorder.head, reused=False)
    made.response(head())
    made.tunnel(Direction.FROM_CLIENT, b"a")
    made.ended(complete=True)
    assert recorder.calls == [
        "request EndOfMessage",
        "dialling",
        "attempt fresh",
        "response 403",
        "tunnel a",
        "ended True",
    ]


def test_without_one_nothing_happens() -> None:
    made, found = observer()
    made.request(EndOfMessage(1))
    made.dialling()
    made.attempt(Request(1, b"GET", b"/", b"app", []), reused=False)
    made.tunnel(Direction.FROM_CLIENT, b"a")
    made.ended(complete=True)
    assert found == []
