from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from devtls.errors import Refused
from devtls.system.paths import Paths, refuse_sudo


def test_the_environment_names_each_folder(tmp_path: Path) -> None:
    environ = {
        "DEVTLS_STATE_DIR": str(tmp_path / "s"),
        "DEVTLS_CONFIG_DIR": str(tmp_path / "c"),
        "DEVTLS_RUNTIME_DIR": str(tmp_path / "r"),
    }
    assert Paths.from_environment(environ) == Paths(tmp_path / "s", tmp_path / "c", tmp_path / "r")


def test_a_state_folder_of_its_own_has_sockets_of_its_own(tmp_path: Path) -> None:
    paths = Paths.from_environment({"DEVTLS_STATE_DIR": str(tmp_path), "DEVTLS_CONFIG_DIR": str(tmp_path)})
    assert paths.runtime_dir == tmp_path / "run"


def test_relative_folders_and_the_home_sign_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    paths = Paths.from_environment({"DEVTLS_STATE_DIR": "state", "DEVTLS_CONFIG_DIR": "~/config"})
    assert paths.state_dir == tmp_path / "state"
    assert paths.config_dir == tmp_path / "home" / "config"


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "runtime"))
    paths = Paths.from_environment({"DEVTLS_STATE_DIR": ""})
    assert paths == Paths(tmp_path / "data/devtls", tmp_path / "config/devtls", tmp_path / "runtime/devtls")


def test_an_odd_runtime_folder_gives_no_warning_of_a_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert Paths.from_environment({}).runtime_dir.name == "devtls"


def test_platformdirs_is_not_imported_when_the_environment_says_it_all() -> None:
    script = (
        "import sys; from devtls.system.paths import Paths;"
        "Paths.from_environment({'DEVTLS_STATE_DIR': '/s', 'DEVTLS_CONFIG_DIR': '/c'});"
        "sys.exit('platformdirs' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=20).returncode == 0


def test_sudo_is_refused_with_the_command_to_type_instead() -> None:
    with pytest.raises(Refused, match="devtls trust runs under sudo") as caught:
        refuse_sudo({"SUDO_UID": "1000"}, 0, "trust")
    assert "without sudo" in caught.value.hint


@pytest.mark.parametrize(
    ("environ", "euid"),
    [({}, 0), ({"SUDO_UID": "0"}, 0), ({"SUDO_UID": "1000"}, 1000), ({}, 1000)],
    ids=["real root", "root through sudo", "a user's shell below sudo", "a user"],
)
def test_everybody_else_may_go_on(environ: dict[str, str], euid: int) -> None:
    refuse_sudo(environ, euid, "serve")
