from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from devtls.errors import Refused
from devtls.system.machine import paths as paths_module
from devtls.system.machine.paths import Paths, refuse_sudo


def test_the_environment_names_each_directory(tmp_path: Path) -> None:
    environ = {
        "DEVTLS_STATE_DIR": str(tmp_path / "s"),
        "DEVTLS_CONFIG_DIR": str(tmp_path / "c"),
        "DEVTLS_RUNTIME_DIR": str(tmp_path / "r"),
    }
    assert Paths.from_environment(environ) == Paths(tmp_path / "s", tmp_path / "c", tmp_path / "r")


def test_a_state_directory_of_its_own_has_sockets_of_its_own(tmp_path: Path) -> None:
    paths = Paths.from_environment({"DEVTLS_STATE_DIR": str(tmp_path), "DEVTLS_CONFIG_DIR": str(tmp_path)})
    assert paths.runtime_dir == tmp_path / "run"


def test_relative_directories_and_the_home_sign_become_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    paths = Paths.from_environment({"DEVTLS_STATE_DIR": "state", "DEVTLS_CONFIG_DIR": "~/config"})
    assert paths.state_dir == tmp_path / "state"
    assert paths.config_dir == tmp_path / "home" / "config"


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "runtime").mkdir(mode=0o700)
    paths = Paths.from_environment({"DEVTLS_STATE_DIR": "", "XDG_RUNTIME_DIR": str(tmp_path / "runtime")})
    assert paths == Paths(tmp_path / "data/devtls", tmp_path / "config/devtls", tmp_path / "runtime/devtls")


@pytest.mark.parametrize("directory", ["", "gone", "run", "open", "link", "file"])
def test_a_runtime_directory_that_is_not_ours_alone_is_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, directory: str
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(paths_module, "_USER_DIRECTORIES", str(tmp_path / "none"))
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o755)
    (tmp_path / "mine").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    (tmp_path / "file").touch(0o600)
    named = {"XDG_RUNTIME_DIR": directory if directory == "run" else str(tmp_path / directory)}
    assert Paths.from_environment(named if directory else {}).runtime_dir == tmp_path / "data/devtls/run"


def test_the_systems_directory_of_the_user_is_found_without_a_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / str(os.geteuid())).mkdir(mode=0o700)
    monkeypatch.setattr(paths_module, "_USER_DIRECTORIES", str(tmp_path))
    assert Paths.from_environment({}).runtime_dir == tmp_path / str(os.geteuid()) / "devtls"


def test_platformdirs_is_not_imported_when_the_environment_says_it_all() -> None:
    script = (
        "import sys; from devtls.system.machine.paths import Paths;"
        "Paths.from_environment({'DEVTLS_STATE_DIR': '/s', 'DEVTLS_CONFIG_DIR': '/c'});"
        "sys.exit('platformdirs' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=20).returncode == 0


@pytest.mark.parametrize(
    ("environ", "tool"),
    [({"SUDO_UID": "1000"}, "sudo"), ({"DOAS_USER": "me"}, "doas"), ({"PKEXEC_UID": "1000"}, "pkexec")],
)
def test_elevation_is_refused_with_the_command_to_type_instead(environ: dict[str, str], tool: str) -> None:
    with pytest.raises(Refused, match=f"devtls trust runs under {tool}") as caught:
        refuse_sudo(environ, 0, "trust")
    assert f"without {tool}" in caught.value.hint


@pytest.mark.parametrize(
    ("environ", "euid"),
    [({}, 0), ({"SUDO_UID": "0"}, 0), ({"DOAS_USER": "root"}, 0), ({"SUDO_UID": "1000"}, 1000), ({}, 1000)],
    ids=["real root", "root through sudo", "root through doas", "a user's shell below sudo", "a user"],
)
def test_everybody_else_may_go_on(environ: dict[str, str], euid: int) -> None:
    refuse_sudo(environ, euid, "serve")
