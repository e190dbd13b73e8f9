"""The arguments of `devtls serve`, without serving: what becomes of them, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from devtls.cli.proxy import serve as module
from devtls.cli.proxy import serving
from devtls.config import StaticTarget, UnixTarget
from devtls.daemon.source import Source
from devtls.errors import ConfigError, ExitCode, Refused
from devtls.system.machine.paths import Paths

TAKEN: list[tuple[Source, Any]] = []
DESCRIPTORS: list[int | None] = []
ALONE: list[bool] = []


@pytest.fixture(autouse=True)
def caught(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    TAKEN.clear()
    DESCRIPTORS.clear()
    ALONE.clear()
    monkeypatch.chdir(tmp_path)

    def serve(source: Source, *, level: Any = "normal", passphrase_fd: int | None = None, alone: bool = False) -> int:
        TAKEN.append((source, level))
        ALONE.append(alone)
        DESCRIPTORS.append(passphrase_fd)
        return 0

    monkeypatch.setattr(serving, "serve", serve)


def run(*argv: str) -> Result:
    return CliRunner().invoke(module.command, argv, standalone_mode=False)


def test_arguments_become_a_source(tmp_path: Path) -> None:
    assert (
        run("app=3000", "docs=./site", "--https-port", "0", "--no-redirect", "-v", "--listen", "::1").exception is None
    )
    ((source, level),) = TAKEN
    assert [route.key for route in source.arguments] == ["app", "docs"]
    site = str(tmp_path / "site")
    assert source.arguments[1].target == StaticTarget(site, root=site)
    assert source.flags == {"https_port": 0, "redirect": False, "listen": ("::1",)}
    assert (source.found, level) == (None, "verbose")


def test_a_typed_directory_stays_the_one_that_was_there(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "site").symlink_to("real")
    assert run("docs=./site", "sock=unix:./app.sock").exception is None
    ((source, _),) = TAKEN
    # A `git checkout` turns links, and the reload for the devtls.toml that came with it asks nobody.
    (tmp_path / "site").unlink()
    (tmp_path / "site").symlink_to("/etc")
    (tmp_path / "app.sock").symlink_to("/run/docker.sock")
    docs, sock = (route.target for route in source.read().config.routes)
    assert isinstance(docs, StaticTarget)
    assert isinstance(sock, UnixTarget)
    assert (docs.root, sock.real) == (str(tmp_path / "real"), str(tmp_path / "app.sock"))


def test_the_descriptor_of_a_passphrase_is_passed_on() -> None:
    assert run("app=3000", "--passphrase-fd", "5").exception is None
    assert run("app=3000").exception is None
    assert DESCRIPTORS == [5, None]


def test_alone_is_passed_on() -> None:
    assert run("app=3000", "--alone").exception is None
    assert run("app=3000").exception is None
    assert ALONE == [True, False]


def test_a_file_is_found_upwards_and_a_named_one_counts_as_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "devtls.toml").touch()
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    run("-q")
    run("--config", "other.toml")
    found, named = (source.found for source, _ in TAKEN)
    assert found and (found.path, found.explicit) == (tmp_path / "devtls.toml", False)
    assert named and (named.path, named.explicit) == (tmp_path / "below/other.toml", True)
    assert [level for _, level in TAKEN] == ["quiet", "normal"]


@pytest.mark.parametrize("argv", [["app"], ["=3"], ["a=1", "--listen", "192.168.0.1"]])
def test_what_is_no_route_and_no_loopback_is_refused(argv: list[str]) -> None:
    assert isinstance(run(*argv).exception, ConfigError)


def test_quiet_and_verbose_exclude_each_other() -> None:
    assert "only one of" in str(run("a=1", "-q", "-v").exception)


def test_sudo_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setenv("SUDO_UID", "1000")
    assert isinstance(run("a=1").exception, Refused)


def test_the_help_shows_how_to_write_a_target() -> None:
    shown = CliRunner().invoke(module.command, ["--help"]).output
    assert "unix:/path" in shown
    assert "--https-port" in shown


def test_nothing_to_serve_is_a_usage_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.undo()
    source = Source(Paths.from_environment(), None, (), {"https_port": 0, "redirect": False})
    assert serving.serve(source) == ExitCode.USAGE
    assert "devtls serve app=3000" in capsys.readouterr().err


def test_a_file_that_is_empty_or_a_directory_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "devtls.toml"

    def told() -> str:
        found = serving.find_file(None, Paths.from_environment())
        flags = {"https_port": 0, "redirect": False}
        assert serving.serve(Source(Paths.from_environment(), found, (), flags)) == ExitCode.USAGE
        return capsys.readouterr().err.partition("\n")[0]

    file.write_text(" \n")
    assert told() == f"There is nothing to serve: no routes here, and {file} is empty."
    file.write_text("# nothing yet\n")
    assert told() == f"There is nothing to serve: no routes here, and {file} has none."
    file.unlink()
    file.mkdir()
    assert told().endswith(f"or above. {file} is a directory, not a file, and was passed over.")
