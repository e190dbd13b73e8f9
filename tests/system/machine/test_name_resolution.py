"""Where names lead, and which of them a browser opens."""

from __future__ import annotations

import socket

import pytest

from devtls.system.machine.name_resolution import Resolves, browser_order, resolve

HOSTS = ("app.dev.local", "app.localhost", "app.test")


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (["127.0.0.1", "::1"], Resolves.HERE),
        (["fe80::1%lo", "127.0.0.1"], Resolves.ELSEWHERE),
        (["192.0.2.1"], Resolves.ELSEWHERE),
        (socket.gaierror(socket.EAI_NONAME, "unknown"), Resolves.NOWHERE),
        (socket.gaierror(socket.EAI_AGAIN, "try again"), Resolves.UNANSWERED),
        (OSError(24, "too many open files"), Resolves.UNKNOWN),
    ],
)
def test_a_resolver_that_does_not_answer_is_told_from_one_that_knows_no_such_name(
    answer: list[str] | OSError, found: Resolves, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def getaddrinfo(host: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        asked.append(host)
        if isinstance(answer, OSError):
            raise answer
        return [(0, 0, 0, "", (address, 443)) for address in answer]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert resolve("*.app.dev.local") is found
    assert asked == ["devtls-check.app.dev.local"]


def test_names_that_a_browser_opens_come_first() -> None:
    assert browser_order(HOSTS, {"app.dev.local": Resolves.HERE}) == ("app.dev.local", "app.localhost", "app.test")
    assert browser_order(HOSTS, {"app.dev.local": Resolves.UNANSWERED}) == (
        "app.localhost",
        "app.dev.local",
        "app.test",
    )
    assert browser_order(HOSTS, {"app.test": Resolves.HERE})[0] == "app.localhost"


def test_where_nothing_was_looked_up_the_order_stays() -> None:
    assert browser_order(HOSTS, {}) == HOSTS
