from __future__ import annotations

from pathlib import Path

from devtls.system.machine.elevation import find_elevation, find_tool
from devtls.system.machine.plan import ALREADY_ROOT


def _tool(root: Path, name: str, *, mode: int = 0o755) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    return path


def test_real_root_needs_no_help(tmp_path: Path) -> None:
    _tool(tmp_path, "usr/bin/sudo")
    assert find_elevation(0, tmp_path) == ALREADY_ROOT


def test_sudo_comes_before_doas_and_doas_before_pkexec(tmp_path: Path) -> None:
    assert find_elevation(1000, tmp_path) is None
    for name in ("pkexec", "doas", "sudo"):
        tool = _tool(tmp_path, f"usr/bin/{name}")
        found = find_elevation(1000, tmp_path)
        assert found is not None
        assert found.name == name
        assert found.argv == (str(tool),)


def test_nixos_keeps_sudo_among_its_wrappers(tmp_path: Path) -> None:
    tool = _tool(tmp_path, "run/wrappers/bin/sudo")
    found = find_elevation(1000, tmp_path)
    assert found is not None
    assert found.argv == (str(tool),)


def test_a_file_that_cannot_be_started_is_no_tool(tmp_path: Path) -> None:
    _tool(tmp_path, "usr/sbin/tool", mode=0o644)
    (tmp_path / "usr" / "bin" / "tool").mkdir(parents=True)
    assert find_tool(("tool",), root=tmp_path) is None
    there = _tool(tmp_path, "bin/tool")
    assert find_tool(("other", "tool"), root=tmp_path) == there
