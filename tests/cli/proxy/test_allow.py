"""`devtls allow`: shows, asks, remembers, revokes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from devtls.cli.proxy import allow
from devtls.cli.proxy.allow import command
from devtls.errors import ConfigError, NotAllowed, Refused
from devtls.system.machine.paths import Paths
from devtls.system.storage.config_discovery import Found, load_config

WANTS = '[routes]\napp = 3000\napi = { target = "https://10.0.0.5", allow_remote = true, verify = false }\n'

Run = Callable[..., Result]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "project"
    directory.mkdir()
    monkeypatch.chdir(directory)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("state", "config", "run"):
        variable = {"state": "STATE", "config": "CONFIG", "run": "RUNTIME"}[name]
        monkeypatch.setenv(f"DEVTLS_{variable}_DIR", str(tmp_path / name))
    monkeypatch.delenv("SUDO_UID", raising=False)
    (directory / "devtls.toml").write_text(WANTS)
    return directory


@pytest.fixture
def run(project: Path) -> Run:
    def invoke(*arguments: str, answer: str | None = None) -> Result:
        return CliRunner().invoke(command, arguments, input=answer)

    return invoke


def passes(project: Path) -> bool:
    try:
        load_config(Found(project / "devtls.toml", explicit=False), Paths.from_environment())
    except NotAllowed:
        return False
    return True


def at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allow, "is_terminal", lambda: True)


def test_it_shows_every_reason_and_remembers_a_yes(project: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    at_a_terminal(monkeypatch)
    assert not passes(project)
    result = run(answer="y\n")
    assert result.exit_code == 0, result.output
    assert "line 3  api  sends requests to another machine: 10.0.0.5 port 443" in result.output
    assert "line 3  api  does not check the certificate of its target" in result.output
    assert passes(project)
    assert "is allowed already" in run().output


def test_a_no_changes_nothing(project: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    at_a_terminal(monkeypatch)
    assert isinstance(run(answer="n\n").exception, Refused)
    assert not passes(project)


def test_without_a_terminal_it_needs_yes(project: Path, run: Run) -> None:
    result = run()
    assert isinstance(result.exception, Refused)
    assert result.exception.hint == "devtls allow --yes"
    assert not passes(project)
    assert run("--yes").exit_code == 0
    assert passes(project)


@pytest.mark.parametrize("argument", ["devtls.toml", ".", "../project/devtls.toml"])
def test_a_file_or_its_directory_can_be_named(project: Path, run: Run, argument: str) -> None:
    assert run("--yes", argument).exit_code == 0
    assert passes(project)


def test_a_changed_file_asks_again(project: Path, run: Run) -> None:
    run("--yes")
    (project / "devtls.toml").write_text(WANTS + "# more")
    assert not passes(project)
    assert "wants more" in run().output


def test_revoking(project: Path, run: Run) -> None:
    assert "was not allowed" in run("--revoke").output
    run("--yes")
    assert "is not allowed any more" in run("--revoke").output
    assert not passes(project)


def test_a_file_that_is_gone_can_be_revoked(project: Path, run: Run) -> None:
    run("--yes")
    (project / "devtls.toml").unlink()
    assert "is not allowed any more" in run("--revoke").output


def test_the_list(project: Path, run: Run) -> None:
    assert run("--list").output == "No file is allowed.\n"
    run("--yes")
    shown = run("--list").output
    assert str(project / "devtls.toml") in shown
    assert "10.0.0.5" in shown
    (entry,) = json.loads(run("--list", "--json").output)
    assert entry["path"] == str(project / "devtls.toml")


def test_json_only_looks_unless_yes_is_given(project: Path, run: Run) -> None:
    told = json.loads(run("--json").output)
    assert told["allowed"] is False
    assert [reason["key"] for reason in told["reasons"]] == ["api", "api"]
    assert not passes(project)
    assert json.loads(run("--json", "--yes").output)["allowed"] is True
    assert passes(project)
    assert json.loads(run("--json", "--revoke").output)["revoked"] is True


def test_a_harmless_file_needs_no_permission(project: Path, run: Run) -> None:
    (project / "devtls.toml").write_text("[routes]\napp = 3000\n")
    result = run()
    assert result.exit_code == 0
    assert "nothing that needs a permission" in result.output


def test_a_file_cannot_draw_its_own_question(project: Path, run: Run) -> None:
    (project / "devtls.toml").write_text('[routes]\napp = "unix:/x\\n\\u001b[1Aharmless"\n')
    shown = run().output
    assert "\x1b" not in shown
    assert "\\n\\x1b[1Aharmless" in shown


def test_a_broken_file_is_not_asked_about(project: Path, run: Run) -> None:
    (project / "devtls.toml").write_text("[routes\n")
    assert isinstance(run("--yes").exception, ConfigError)


def test_without_a_file_it_says_how_to_name_one(project: Path, run: Run) -> None:
    (project / "devtls.toml").unlink()
    result = run()
    assert isinstance(result.exception, ConfigError)
    assert result.exception.hint.startswith("Name it: devtls allow")


def test_two_intentions_at_once_are_refused(run: Run) -> None:
    assert run("--yes", "--revoke").exit_code == 2


def test_under_sudo_it_refuses(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_UID", "1000")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert isinstance(run("--yes").exception, Refused)
