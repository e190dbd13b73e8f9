"""`devtls status` as text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest

from devtls.cli.proxy.status import in_words
from devtls.web.control_messages import (
    Advice,
    CaStatus,
    Certificates,
    Clients,
    ErrorInfo,
    JoinedProcess,
    RouteStatus,
    ServeStatus,
)

NOW = datetime(2026, 5, 6, 12, 0, 0, tzinfo=UTC)
ROUTE: dict[str, Any] = {"hosts": ("app.test",), "urls": ("https://app.test",), "target": "127.0.0.1:1"}


def words(**changes: Any) -> str:
    facts: dict[str, Any] = {
        "version": "1.2",
        "pid": 7,
        "since": (NOW - timedelta(minutes=5)).isoformat(),
        "stopping": False,
        "https_port": 443,
        "http_port": 80,
        "listen": ("127.0.0.1",),
        "zones": ("dev.local", "test"),
        "config_file": "/project/devtls.toml",
        "routes": (RouteStatus(name="app", source="file", health="up", **ROUTE),),
        "clients": Clients(1, 1),
        "certificates": Certificates(1, 2, 3),
        "ca": CaStatus("0123abcd", "ab" * 32, "2036-01-02T03:04:05+00:00", 2345, True),
        "reload_error": None,
        "warnings": (),
        "pac_port": 15354,
    }
    return click.unstyle("\n".join(in_words(ServeStatus(**facts | changes), NOW)))


def test_everything_fits_in_eighty_columns() -> None:
    text = words(warnings=(Advice("word " * 40, "devtls trust"),))
    assert max(len(line) for line in text.splitlines()) <= 80
    for part in (
        "devtls 1.2 serves since 11:55:00 (process 7).",
        "https 443, http 80 redirects; on 127.0.0.1",
        "dev.local, test",
        "1 connection, 1 of them HTTP/2",
        "PAC file on port 15354 (devtls pac)",
        "1 of routed names, 2 of others in memory; 3 made since the start",
        "devtls root 0123abcd, until 2036-01-02; page and revocation",
        "ab" * 32,
        "https://app.test  ->  127.0.0.1:1  up",
        "devtls trust",
    ):
        assert part in text, part


@pytest.mark.parametrize(
    ("origins", "said"),
    [
        (("inherited", "bound"), "https 443 (opened by the service manager), http 80 redirects; on 127"),
        (("bound", "inherited"), "https 443, http 80 redirects (opened by the service manager); on 127"),
        (("inherited", "inherited"), "https 443, http 80 redirects; opened by the service manager; on 127"),
        (("redirected", "redirected"), "https 443, http 80 redirects; by a redirect of the system's; on 127"),
        (("everywhere", "everywhere"), "redirects; on every address, but closed to other machines; on 127.0.0.1"),
        (("of a later version", "bound"), "https 443, http 80 redirects; on 127"),
    ],
)
def test_the_origin_of_the_ports_is_shown(origins: tuple[str, str], said: str) -> None:
    text = words(https_origin=origins[0], http_origin=origins[1])
    assert said in " ".join(text.split())


def test_without_http_only_https_came_somehow() -> None:
    assert "https 443, no http; opened by" in " ".join(words(http_port=None, https_origin="inherited").split())


def test_unusual_facts_are_shown() -> None:
    lent = RouteStatus(name="lent", source="temporary", health="down", reason="no", last_error="reset", idle=2, **ROUTE)
    typed = RouteStatus(name="typed", source="command line", active=1, client_auth="require", **ROUTE)
    asking = RouteStatus(name="asking", source="file", client_auth="request", **ROUTE)
    error = ErrorInfo("devtls.toml:2: no.", "Ports go from 1.", (NOW - timedelta(days=1)).isoformat(), 3)
    ca = CaStatus("0123abcd", "ab" * 32, "2036-01-02T03:04:05+00:00", 2345, False)
    text = words(
        stopping=True, since=(NOW - timedelta(days=2)).isoformat(), http_port=None, config_file=None, ca=ca,
        routes=(lent, typed, asking), reload_error=error,
    )  # fmt: skip
    for part in (
        "serves since 2026-05-04 12:00 (process 7), and is about to end.",
        "https 443, no http",
        "none: the routes are from the command line",
        "(another process",
        "not up: no",
        "last error: reset",
        "connections: 0 in use, 2 idle",
        "connections: 1 in use, 0 idle",
        "for this run only",
        "from the command line",
        "clients must show a certificate",
        "clients may show a certificate",
        "! Not in effect, since 2026-05-05 12:00: devtls.toml:2: no.",
        "Ports go from 1.",
    ):
        assert part in text, part


def test_nothing_from_a_file_reaches_the_terminal_as_it_is() -> None:
    route = RouteStatus(name="app", source="file", health="down", reason="\x1b[2J", **ROUTE | {"target": "\x1b[1A"})
    assert "\x1b" not in words(routes=(route,), warnings=(Advice("\x1b[2J", "\x1b[2J"),))


def test_no_routes_are_no_riddle() -> None:
    assert "devtls add app 3000" in words(routes=())


def test_a_demo_says_so() -> None:
    assert words(demo=True).startswith("devtls 1.2 runs its demo since 11:55:00 (process 7).")


def test_a_process_that_joined_from_the_current_directory_has_no_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    joined = JoinedProcess(pid=8, directory=str(tmp_path), config_file=None, since=NOW.isoformat())
    assert "Process 8 joined at 12:00:00, with the routes of this folder:" in words(joined=(joined,))


def test_a_narrow_terminal_breaks_the_first_line_at_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert words().startswith("devtls 1.2 serves since 11:55:00\n(process 7).\n")
