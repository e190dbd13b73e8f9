"""What is said of a framework: once, in words that name a file of the project, and never a name that was refused."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from devtls.config import parse_config
from devtls.daemon.console.framework_hints import FrameworkHints
from devtls.http.frameworks.advice import FrameworkFinding, Project
from devtls.http.frameworks.host_check import recognise
from devtls.http.frameworks.hot_reload import WEBPACK
from devtls.http.frameworks.scheme import MISSING_COOKIE, OWN_URL
from devtls.names import DEFAULT_ZONES
from devtls.net.client.service import ProxyService
from devtls.routing import Snapshot, build_routes

EXPRESS = frozenset({"express", "express-session"})


class HintRig:
    """Hints on one route, and the lines that they wrote."""

    def __init__(self, project: Project | None = None, route: str = "app = 3000", https_port: int = 8443) -> None:
        config = parse_config(f"[routes]\n{route}\n".encode(), source="test.toml", directory="/")
        routes = build_routes(config, DEFAULT_ZONES, static_sockets={})
        service = SimpleNamespace(snapshot=Snapshot(config, routes, DEFAULT_ZONES), https_port=https_port)
        self.route = routes.routes[0]
        self.project = project
        self.asked: list[int] = []
        self.lines: list[str] = []
        self.events: list[dict[str, Any]] = []
        self.hints = FrameworkHints(cast(ProxyService, service), self.warn, self.find, lambda: (Path("/"),))

    def warn(self, text: str, *, event: str, **facts: object) -> None:
        self.lines.append(text)
        self.events.append({"event": event, **facts})

    def find(self, port: int, directories: Sequence[Path]) -> Project | None:
        self.asked.append(port)
        return self.project

    async def found(self, host: str, finding: FrameworkFinding) -> None:
        self.hints.found(host, self.route, finding)
        await asyncio.gather(*self.hints._tasks)


def refusal(body: bytes, status: int = 403, kind: bytes = b"text/plain") -> FrameworkFinding:
    advice = recognise(status, kind, body)
    assert advice is not None
    return FrameworkFinding(advice)


VITE = refusal(b"Blocked request. This host (")
DJANGO = refusal(b"DisallowedHost at /", 400)


async def test_a_refusal_is_logged_once_per_name_with_what_works_now() -> None:
    rig = HintRig(Project(frozenset({"tsconfig.json"}), frozenset({"vite"})))
    for host in ("app.dev.local", "app.dev.local", "app.test"):
        await rig.found(host, VITE)
    assert len(rig.lines) == 2
    assert "vite.config.ts: server: {" in rig.lines[0]
    assert "(works now without it: https://app.localhost:8443, or" in rig.lines[0]
    assert rig.asked == [3000, 3000]
    assert rig.events[0] == {
        "event": "host_check",
        "host": "app.dev.local",
        "framework": "Vite",
        "settings": [{"file": "vite.config.ts", "line": 'server: { allowedHosts: ["app.dev.local"] }'}],
    }


async def test_a_name_that_was_refused_is_not_offered() -> None:
    rig = HintRig()
    await rig.found("app.localhost", DJANGO)
    await rig.found("app.dev.local", DJANGO)
    assert len(rig.lines) == 2
    assert all("app.localhost" not in line.partition("works now")[2] for line in rig.lines)
    without = HintRig(route='"app.dev.local" = 3000')
    await without.found("app.dev.local", DJANGO)
    assert "localhost:" not in without.lines[0]


async def test_the_usual_port_is_not_written() -> None:
    rig = HintRig(https_port=443)
    await rig.found("app.dev.local", DJANGO)
    assert "https://app.localhost," in rig.lines[0]


@pytest.mark.parametrize(
    ("host", "zones"),
    [
        ("app.dev.local", '"[::1]", ".dev.local"]'),
        ("app.test", '"[::1]", ".dev.local", ".test"]'),
        ("app.localhost", '"[::1]", ".dev.local", ".test"]'),
    ],
)
async def test_the_list_for_django_takes_no_name_away(host: str, zones: str) -> None:
    rig = HintRig()
    await rig.found(host, DJANGO)
    assert f'ALLOWED_HOSTS = [".localhost", "127.0.0.1", {zones}' in rig.lines[0]


async def test_other_problems_are_logged_once_per_route() -> None:
    rig = HintRig()
    finding = FrameworkFinding(WEBPACK, facts=(("dialled", "3000"), ("path", "/ws")))
    for host in ("app.dev.local", "app.localhost"):
        await rig.found(host, finding)
    assert len(rig.lines) == 1
    assert rig.events[0]["event"] == "framework"


@pytest.mark.parametrize(
    ("project", "method", "told"),
    [
        (None, "GET", False),
        (None, "POST", True),
        (Project(packages=frozenset({"express"})), "POST", False),
        (Project(packages=EXPRESS), "POST", True),
        (Project(packages=EXPRESS), "GET", False),
        (Project(packages=EXPRESS, secure_cookies=True), "GET", True),
    ],
)
async def test_a_missing_cookie_is_told_where_sessions_are_likely(
    project: Project | None, method: str, told: bool
) -> None:
    rig = HintRig(project)
    finding = FrameworkFinding(MISSING_COOKIE, "Express", (("evidence", f"{method} /"),), method)
    await rig.found("app.localhost", finding)
    assert len(rig.lines) == told
    assert all('app.set("trust proxy", "loopback")' in line for line in rig.lines)


async def test_one_setting_is_not_advised_for_a_lesser_reason_again() -> None:
    rig = HintRig(Project(packages=EXPRESS, secure_cookies=True))
    await rig.found("app.localhost", FrameworkFinding(MISSING_COOKIE, "Express", (("evidence", "GET /"),), "GET"))
    await rig.found("app.localhost", FrameworkFinding(MISSING_COOKIE, "Express", (("evidence", "POST /"),), "POST"))
    await rig.found("app.localhost", FrameworkFinding(OWN_URL, "Express", (("evidence", "it redirects"),)))
    assert len(rig.lines) == 1
    await rig.found("app.localhost", FrameworkFinding(OWN_URL, "Rails", (("evidence", "it redirects again"),)))
    assert len(rig.lines) == 1


async def test_names_without_end_do_not_fill_memory_or_log() -> None:
    rig = HintRig()
    for number in range(2000):
        rig.hints.found(f"n{number}.test", rig.route, VITE)
    await asyncio.gather(*rig.hints._tasks)
    assert len(rig.lines) <= 256


async def test_an_app_on_a_unix_socket_has_no_port_to_ask_about() -> None:
    rig = HintRig(route='app = "unix:/run/app.sock"')
    await rig.found("app.dev.local", VITE)
    assert (len(rig.lines), rig.asked) == (1, [])
