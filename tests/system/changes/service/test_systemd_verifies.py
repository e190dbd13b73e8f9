"""systemd's own opinion of our units: `systemd-analyze verify` reads them and says what it does not like."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest

from devtls.system.changes.change import DesiredState, User
from devtls.system.changes.service.discovery import find_services
from devtls.system.changes.service.socket_unit import SocketUnit
from devtls.system.changes.service.systemd_unit import UserUnit
from devtls.system.machine.machine import Machine
from devtls.system.machine.plan import Plan, WriteFile
from tests.e2e.clients import RequireTool
from tests.system.changes.service.conftest import Systemd

ODD = ("plain", "with space", "100%", "$HOME", "ümläut", "semi;colon #hash", "-@:+!")
_EXPOSED_AT_MOST = 4.0
"""Of 10; without the hardening it is 9.2."""


@pytest.fixture(params=ODD)
def odd_state(request: pytest.FixtureRequest, desired: DesiredState, tmp_path: Path) -> DesiredState:
    """A desired whose interpreter and state directory lie in a directory of an odd name."""
    directory = tmp_path / request.param
    directory.mkdir()
    (directory / "python").symlink_to(sys.executable)
    user = User("daemon", 1, 1, tmp_path)
    variables = {"DEVTLS_STATE_DIR": str(directory)}
    return dataclasses.replace(
        desired, user=user, command=(str(directory / "python"), "-m", "devtls"), environment=variables
    )


def verify(tool: str, plan: Plan, directory: Path, *options: str) -> str:
    """Write the plan's units to a directory and return what systemd says of them."""
    directory.mkdir()
    units = [step for step in plan.steps if isinstance(step, WriteFile)]
    for unit in units:
        (directory / unit.path.name).write_bytes(unit.content)
    files = [str(directory / unit.path.name) for unit in units]
    done = subprocess.run([tool, "verify", *options, *files], capture_output=True, text=True, check=False, timeout=60)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return "\n".join(line for line in said.splitlines() if "devtls" in line or str(directory) in line)


def test_the_users_unit_is_liked(
    machine: Machine, systemd: Systemd, odd_state: DesiredState, tmp_path: Path, require_tool: RequireTool
) -> None:
    tool = require_tool("systemd-analyze", "sudo apt-get install systemd")
    change = UserUnit(machine, systemd, config=tmp_path / "a b$c%d" / "devtls.toml")
    plan = change.apply_plan(change.probe(), odd_state)
    assert verify(tool, plan, tmp_path / "units", "--user", "--man=no") == ""


def test_the_systems_units_are_liked(
    machine: Machine, systemd: Systemd, odd_state: DesiredState, tmp_path: Path, require_tool: RequireTool
) -> None:
    tool = require_tool("systemd-analyze", "sudo apt-get install systemd")
    change = SocketUnit(machine, systemd)
    plan = change.apply_plan(change.probe(), odd_state)
    assert verify(tool, plan, tmp_path / "units", "--man=no") == ""


@pytest.mark.parametrize("char", ['"', "'", "\\"])
def test_what_systemd_never_starts_is_not_tried(
    machine: Machine, systemd: Systemd, desired: DesiredState, char: str
) -> None:
    odd = dataclasses.replace(desired, command=(f"/opt/a{char}b/python", "-m", "devtls"))
    for change in find_services(machine, systemd):
        assert "quote or a backslash" in change.state(change.probe(), odd).detail
        assert not change.apply_plan(change.probe(), odd)


def test_a_program_that_is_not_there_is_seen(
    machine: Machine, systemd: Systemd, desired: DesiredState, tmp_path: Path, require_tool: RequireTool
) -> None:
    tool = require_tool("systemd-analyze", "sudo apt-get install systemd")
    change = UserUnit(machine, systemd)
    plan = change.apply_plan(change.probe(), desired)
    with pytest.raises(AssertionError, match="/opt/my tools/python is not executable"):
        verify(tool, plan, tmp_path / "units", "--user", "--man=no")


def test_the_system_service_is_little_exposed(
    machine: Machine, systemd: Systemd, desired: DesiredState, tmp_path: Path, require_tool: RequireTool
) -> None:
    tool = require_tool("systemd-analyze", "sudo apt-get install systemd")
    if "--offline" not in subprocess.run([tool, "--help"], capture_output=True, text=True, check=True).stdout:
        pytest.skip("systemd before 250")
    change = SocketUnit(machine, systemd)
    unit = next(step for step in change.apply_plan(change.probe(), desired).steps if isinstance(step, WriteFile))
    file = tmp_path / "devtls.service"
    file.write_bytes(unit.content)
    argv = [tool, "security", "--offline=true", "--no-pager", str(file)]
    said = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60).stdout
    found = re.search(r"exposure level for devtls\.service: ([0-9.]+)", said)
    assert found, said
    assert float(found[1]) <= _EXPOSED_AT_MOST, said
