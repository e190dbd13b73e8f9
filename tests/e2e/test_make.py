"""`make` on a machine that lacks something: one sentence and the command that helps, never a traceback."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.packages]

RequireTool = Callable[[str, str], str]

PROJECT = Path(__file__).parents[2]
NO_ENSUREPIP = f'#!/bin/sh\ncase "$*" in *"import ensurepip"*) exit 1 ;; esac\nexec "{sys.executable}" "$@"\n'
TOO_OLD = "#!/bin/sh\nexit 1\n"


def make(directory: Path, require_tool: RequireTool, target: str, **programs: str) -> subprocess.CompletedProcess[str]:
    """Run `make` where PATH holds a shell, make and `programs` alone."""
    path = directory / "bin"
    path.mkdir()
    for tool in ("sh", "echo", "printf", "rm", "touch"):
        (path / tool).symlink_to(require_tool(tool, "part of every system"))
    for name, script in programs.items():
        program = path / name.replace("apt_get", "apt-get").replace("_", ".")
        program.write_text(script)
        program.chmod(0o755)
    for part in ("Makefile", "pyproject.toml"):
        shutil.copy(PROJECT / part, directory)
    argv = [require_tool("make", "sudo apt-get install make"), target]
    return subprocess.run(argv, cwd=directory, env={"PATH": str(path)}, capture_output=True, text=True, check=False)


def test_without_ensurepip_it_names_the_one_apt_command(tmp_path: Path, require_tool: RequireTool) -> None:
    done = make(tmp_path, require_tool, "demo", python3=NO_ENSUREPIP, apt_get="#!/bin/sh\n")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert done.returncode != 0
    assert f"sudo apt-get install python{version}-venv" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_without_apt_it_names_what_is_missing(tmp_path: Path, require_tool: RequireTool) -> None:
    done = make(tmp_path, require_tool, "demo", python3=NO_ENSUREPIP)
    assert "ensurepip" in done.stderr
    assert "apt-get" not in done.stderr


def test_an_old_python_is_named_as_the_reason(tmp_path: Path, require_tool: RequireTool) -> None:
    done = make(tmp_path, require_tool, "test", python3=TOO_OLD, python3_11=TOO_OLD)
    assert done.returncode != 0
    assert "Python 3.11 or newer" in done.stderr


def test_no_target_lists_the_targets(tmp_path: Path, require_tool: RequireTool) -> None:
    done = make(tmp_path, require_tool, "help")
    assert done.returncode == 0
    for target in ("demo", "quick", "check", "test", "lint", "docs", "bench", "clean"):
        assert f"make {target}" in done.stdout
