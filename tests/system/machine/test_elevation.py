from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from devtls.system.machine.elevation import (
    find_elevated_tool,
    find_elevation,
    find_tool,
    refusal_of_tools,
    refusal_to_elevate,
    refusal_to_touch,
)
from devtls.system.machine.machine import Machine
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


def test_a_tool_behind_links_of_its_own_name_may_be_elevated(tmp_path: Path) -> None:
    _tool(tmp_path, "usr/lib/jvm/17/bin/keytool")
    (tmp_path / "etc/alternatives").mkdir(parents=True)
    (tmp_path / "etc/alternatives/keytool").symlink_to(tmp_path / "usr/lib/jvm/17/bin/keytool")
    (tmp_path / "usr/bin").mkdir()
    (tmp_path / "usr/bin/keytool").symlink_to("../../etc/alternatives/keytool")
    (tmp_path / "bin").symlink_to("usr/bin")
    assert refusal_to_elevate(tmp_path / "bin/keytool", tmp_path) == ""


@pytest.mark.parametrize(
    ("name", "final", "may"),
    [
        ("keytool", "python3.11", False),
        ("keytool", "busybox", False),
        ("install", "busybox", True),
        ("install", "coreutils", True),
        ("install", "gnuinstall", True),
        ("tee", "python3", False),
        ("sudo", "sudo-rs", True),
        ("doas", "sudo-rs", False),
        ("update-ca-certificates", "bash", False),
    ],
)
def test_a_link_to_another_program_is_not_elevated(tmp_path: Path, name: str, final: str, may: bool) -> None:
    _tool(tmp_path, f"usr/bin/{final}")
    (tmp_path / "usr/bin" / name).symlink_to(final)
    why = refusal_to_elevate(tmp_path / "usr/bin" / name, tmp_path)
    assert why == ("" if may else f"{tmp_path}/usr/bin/{name} is not run as root: "
                                  f"it leads to {tmp_path}/usr/bin/{final}, which is another program")  # fmt: skip
    assert (find_elevated_tool((name,), tmp_path) is not None) is may
    assert (refusal_of_tools((name,), tmp_path) == "") is may


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o1777])
@pytest.mark.parametrize("opened", ["usr", "usr/bin"])
def test_a_directory_that_others_may_write_leads_to_no_tool_of_root_not_even_a_sticky_one(
    tmp_path: Path, opened: str, mode: int
) -> None:
    tool = _tool(tmp_path, "usr/bin/tool")
    assert refusal_to_elevate(tool, tmp_path) == ""
    (tmp_path / opened).chmod(mode)
    assert refusal_to_elevate(tool, tmp_path) == (
        f"{tool} is not run as root: {tmp_path / opened} can be written by others than root"
    )
    assert find_elevated_tool(("tool",), tmp_path) is None


def test_a_link_out_of_a_safe_directory_is_followed_to_where_it_leads(tmp_path: Path) -> None:
    elsewhere = _tool(tmp_path, "home/ann/tool")
    (tmp_path / "home/ann").chmod(0o777)
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/tool").symlink_to(elsewhere)
    assert "home/ann can be written" in refusal_to_elevate(tmp_path / "usr/bin/tool", tmp_path)


def test_a_script_is_as_safe_as_its_interpreter(tmp_path: Path) -> None:
    interpreter, script = _tool(tmp_path, "opt/python/bin/python"), _tool(tmp_path, "usr/sbin/tool")
    for line in (f"#!{interpreter} -E", f"#! {interpreter}"):
        script.write_text(f"{line}\n")
        assert refusal_to_elevate(script, tmp_path) == ""
        (tmp_path / "opt/python").chmod(0o777)
        assert f"its interpreter is {interpreter}" in refusal_to_elevate(script, tmp_path)
        (tmp_path / "opt/python").chmod(0o755)
    script.write_text("#!/usr/bin/env sh\n")
    assert refusal_to_elevate(script, tmp_path) == ""
    script.write_text("#!\n")
    assert refusal_to_elevate(script, tmp_path) == ""


def test_below_the_real_root_a_program_in_the_directory_of_temporary_files_is_anybodys(tmp_path: Path) -> None:
    assert " is not run as root: " in refusal_to_elevate(_tool(tmp_path, "tool"))
    assert refusal_to_elevate(Path("/bin/sh").resolve()) == ""


def test_a_tool_that_is_missing_or_leads_to_itself_is_no_riddle(tmp_path: Path) -> None:
    assert refusal_to_elevate(tmp_path / "none", tmp_path) == ""
    (tmp_path / "loop").symlink_to("loop")
    assert "leads to itself" in refusal_to_elevate(tmp_path / "loop", tmp_path)
    assert refusal_of_tools(("none",), tmp_path) == ""


def test_root_touches_no_file_whose_place_others_can_give_to_another(tmp_path: Path) -> None:
    (tmp_path / "etc/open").mkdir(parents=True)
    assert refusal_to_touch(tmp_path / "etc/open/file", tmp_path) == ""
    assert refusal_to_touch(tmp_path / "etc/missing/file", tmp_path) == ""
    (tmp_path / "etc/open").chmod(0o1777)
    assert refusal_to_touch(tmp_path / "etc/open/file", tmp_path) == (
        f"{tmp_path}/etc/open/file is left alone as root: {tmp_path}/etc/open can be written by others than root"
    )


def test_a_file_of_another_user_in_a_directory_of_roots_may_be_touched(tmp_path: Path) -> None:
    """Its owner can change what is in it, and put nothing else in its place."""
    hosts = tmp_path / "etc/hosts"
    hosts.parent.mkdir()
    hosts.touch()
    hosts.chmod(0o666)
    assert refusal_to_touch(hosts, tmp_path) == ""
    hosts.parent.chmod(0o777)
    assert "can be written by others than root" in refusal_to_touch(hosts, tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to root")
def test_a_directory_of_path_that_is_closed_is_passed_over(tmp_path: Path) -> None:
    there = _tool(tmp_path, "open/tool")
    _tool(tmp_path, "closed/tool").parent.chmod(0)
    try:
        assert find_tool(("tool",), ("closed", "open"), tmp_path) == there
    finally:
        (tmp_path / "closed").chmod(0o700)


@pytest.mark.skipif(os.name == "nt", reason="root is nobody there")
def test_for_root_a_tool_that_others_can_write_is_none_of_the_users(tmp_path: Path) -> None:
    tool = tmp_path / "devtls-test-tool"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o777)
    user = Machine.redirected(Path("/"), tmp_path, {}, search_path=(str(tmp_path),))
    assert user.user_tool(tool.name) == tool
    # sudo may keep PATH: what it names first would run as root, and be it to ask for a version.
    root = dataclasses.replace(user, is_root=True)
    assert root.user_tool(tool.name) is None
    # Debian's python3 leads to python3.13: under whatever name, root's own is good.
    assert root.user_tool("sh") == user.user_tool("sh")
