"""A mistake in devtls.toml stops only the commands that need it; the others say it in one line and go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from devtls.errors import ConfigError, ExitCode
from tests.cli.shell import Shell

SAID = "devtls.toml:2: routes.\"no name!\": 'no name!' is not a host name. This command goes on without it."


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "project"
    place.mkdir()
    monkeypatch.chdir(place)
    (place / "devtls.toml").write_text('[routes]\n"no name!" = 3000\n')
    return place


def test_the_ca_its_trust_and_its_certificates_need_no_route(shell: Shell, project: Path) -> None:
    for arguments in (("trust", "--dry-run"), ("trust", "--yes"), ("ca",), ("env",), ("cert", "db.test")):
        result = shell.succeed(*arguments)
        assert [line for line in result.stderr.splitlines() if "devtls.toml" in line] == [
            f"warning: {project}/{SAID}"
        ], arguments
        assert "devtls.toml" not in result.stdout
    assert (project / "db.test.pem").is_file()


@pytest.mark.parametrize("arguments", [("certs",), ("untrust", "--dry-run"), ("config", "schema"), ("service",)])
def test_what_does_not_look_for_the_file_does_not_speak_of_it(shell: Shell, arguments: tuple[str, ...]) -> None:
    shell.succeed("trust", "--yes")
    assert "no name!" not in shell.succeed(*arguments).output


def test_a_check_of_a_server_goes_on(shell: Shell) -> None:
    result = shell.run("check", "https://127.0.0.1:1", "--timeout", "1")
    assert SAID in result.stderr
    assert "127.0.0.1" in str(result.exception)


def test_the_doctor_makes_a_finding_of_it(shell: Shell) -> None:
    assert "'no name!' is not a host name" in " ".join(shell.run("doctor").output.split())


def test_what_needs_the_routes_stops(shell: Shell) -> None:
    for arguments in (("list",), ("add", "app", "3000"), ("allow",)):
        assert isinstance(shell.fail(ExitCode.CONFIG, *arguments), ConfigError)
