"""What is served at this moment."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from devtls.doctor.health.diagnosis import DoctorEnvironment, diagnose
from devtls.doctor.health.finding import Level
from devtls.doctor.health.running import check_running, hosts_of, reads
from devtls.system.storage.keystore import Keystore
from devtls.web.control_messages import CaStatus, Certificates, Clients, ErrorInfo, RouteStatus, ServeStatus


def route(health: str = "up", target: str = "127.0.0.1:3000", **facts: Any) -> RouteStatus:
    given: dict[str, Any] = {
        "name": "app",
        "hosts": ("app.dev.local",),
        "urls": ("https://app.dev.local:29443",),
        "source": "command line",
        "reason": "nothing listens there",
    }
    return RouteStatus(health=health, target=target, **given | facts)


def serve(*routes: RouteStatus, **facts: Any) -> ServeStatus:
    given: dict[str, Any] = {
        "version": "1",
        "pid": 7,
        "since": "2026-01-02T03:04:05+00:00",
        "stopping": False,
        "https_port": 29443,
        "http_port": None,
        "listen": ("127.0.0.1",),
        "zones": ("dev.local",),
        "config_file": None,
        "clients": Clients(0, 0),
        "certificates": Certificates(0, 0, 0),
        "ca": CaStatus("0123abcd", "ab" * 32, "2036-01-02T03:04:05+00:00", 2345, True),
        "reload_error": None,
        "warnings": (),
    }
    return ServeStatus(routes=routes, **given | facts)


def test_an_app_that_is_down_behind_an_open_address_is_to_be_fixed() -> None:
    (found,) = check_running([serve(route("down"))])
    assert (found.id, found.level, found.remedy) == (
        "running-app-down",
        Level.WARNING,
        "Start the app on port 3000",
    )
    assert found.what == (
        "https://app.dev.local:29443 is served, and its app at 127.0.0.1:3000 does not answer: nothing listens there."
    )
    (found,) = check_running([serve(route("down", "unix:/run/a\x1b", urls=()))])
    assert found.what.startswith("app is served")
    assert found.remedy == "Start the app at unix:/run/a\\x1b"


def test_the_address_is_one_that_a_browser_opens() -> None:
    (found,) = check_running([serve(route("down", url="https://app.localhost:29443"))])
    assert found.what.startswith("https://app.localhost:29443 is served")


def test_what_is_up_is_fine() -> None:
    (found,) = check_running([serve(route(), route("unknown"))])
    assert (found.level, found.what) == (
        Level.OK,
        "devtls serve (process 7) has 2 routes, and every app answers.",
    )
    (found,) = check_running([serve(route())])
    assert "has 1 route, and" in found.what
    assert list(check_running([serve()])) == []


def test_a_proxy_that_could_not_read_its_file_is_reported() -> None:
    failed = serve(route(), reload_error=ErrorInfo("devtls.toml:2: no.", "devtls allow"))
    found, _ = check_running([failed])
    assert (found.id, found.level, found.remedy) == ("reload-failed", Level.WARNING, "devtls allow")
    assert found.what == "devtls serve (process 7) goes on with its old routes: devtls.toml:2: no."
    found, _ = check_running([serve(route(), reload_error=ErrorInfo("no."))])
    assert found.remedy == "Change that line"


def test_names_and_files_of_several_proxies_add_up() -> None:
    serves = [serve(route()), serve(route(), route(hosts=("b.test",)), config_file="/p/devtls.toml")]
    assert hosts_of(serves) == ("app.dev.local", "b.test")
    assert (reads(serves, "/p/devtls.toml"), reads(serves, "/q/devtls.toml")) == (True, False)


def test_what_runs_is_looked_at_besides_the_file(
    environment: DoctorEnvironment, keystore: Keystore, tmp_path: Path
) -> None:
    """Without a file, and with a serve whose app is down and whose name does not resolve."""
    running = serve(route("down", hosts=("no-such-name.dev.local",)))
    found = diagnose(replace(environment, serves=lambda: [running]), datetime.now(UTC))
    ids = {finding.id for finding in found.findings}
    assert {"running-app-down", "name-lost"} <= ids
    assert "config-none" not in ids
    assert found.wrong


def test_the_apps_of_a_file_that_is_served_are_told_once(
    environment: DoctorEnvironment, keystore: Keystore, tmp_path: Path
) -> None:
    file = tmp_path / "devtls.toml"
    file.write_text("[routes]\nlocalhost = 1\n")
    running = serve(route("down", "127.0.0.1:1", hosts=("localhost",)), config_file=str(file))
    found = diagnose(replace(environment, serves=lambda: [running]), datetime.now(UTC))
    ids = [finding.id for finding in found.findings]
    assert ("running-app-down" in ids, "config-served" in ids, "app-down" in ids) == (True, True, False)


def test_a_proxy_that_cannot_be_asked_is_a_finding(environment: DoctorEnvironment, keystore: Keystore) -> None:
    def fail() -> list[ServeStatus]:
        raise OSError("no answer")

    found = diagnose(replace(environment, serves=fail), datetime.now(UTC))
    assert any(each.id == "not-examined" and "no answer" in each.what for each in found.findings)
