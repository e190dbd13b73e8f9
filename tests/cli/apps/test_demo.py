"""The arguments of `devtls demo`, without a demo."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from devtls.cli.apps import demo as module
from devtls.cli.trust import trust
from devtls.errors import Refused, TrustFailed
from devtls.system.machine.paths import Paths

TAKEN: list[tuple[module.Demo, int | None, bool]] = []


@pytest.fixture(autouse=True)
def caught(monkeypatch: pytest.MonkeyPatch) -> None:
    TAKEN.clear()

    def run(demo: module.Demo, https_port: int | None, *, check: bool) -> int:
        demo.root_file.parent.mkdir(parents=True, exist_ok=True)
        demo.root_file.touch()
        TAKEN.append((demo, https_port, check))
        return 0

    monkeypatch.setattr(module, "_run", run)


def test_without_trust_the_directory_dies_with_the_demo(home: Path) -> None:
    CliRunner().invoke(module.command, ["--check", "--https-port", "9443"], standalone_mode=False)
    ((demo, port, check),) = TAKEN
    assert (demo.trusted, port, check) == (False, 9443, True)
    assert not demo.root_file.parent.exists()
    assert not (home / "state").exists()


def test_with_trust_it_is_the_users_own_ca(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    called: list[None] = []
    monkeypatch.setattr(trust, "command", click.Command("trust", callback=lambda: called.append(None)))
    CliRunner().invoke(module.command, ["--trust"], standalone_mode=False)
    ((demo, _, _),) = TAKEN
    assert (called, demo.trusted, demo.paths.state_dir) == ([None], True, home / "state")


def test_a_trust_that_failed_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise TrustFailed("no")

    monkeypatch.setattr(trust, "command", click.Command("trust", callback=fail))
    assert isinstance(CliRunner().invoke(module.command, ["--trust"], standalone_mode=False).exception, TrustFailed)
    assert not TAKEN


def test_sudo_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setenv("SUDO_UID", "1000")
    assert isinstance(CliRunner().invoke(module.command, [], standalone_mode=False).exception, Refused)


def test_a_demo_is_found_where_other_proxies_are_and_leaves_no_directory_behind(
    monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    runtime_dir = Paths.from_environment().runtime_dir

    def run(demo: module.Demo, https_port: int | None, *, check: bool) -> int:
        TAKEN.append((demo, https_port, check))
        demo.paths.runtime_dir.mkdir(parents=True)
        return 0

    monkeypatch.setattr(module, "_run", run)
    CliRunner().invoke(module.command, [], standalone_mode=False)
    ((demo, _, _),) = TAKEN
    assert demo.paths.runtime_dir == runtime_dir
    assert demo.paths.state_dir != Paths.from_environment().state_dir
    assert not runtime_dir.exists()
