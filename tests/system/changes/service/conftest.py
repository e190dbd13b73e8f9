from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from devtls.system.changes.change import DesiredState, User
from devtls.system.changes.service.systemd import UNIT
from devtls.system.machine.execute import Finished, NotFinished, Outcome, StepFailure, execute
from devtls.system.machine.machine import Machine
from devtls.system.machine.plan import ALREADY_ROOT, Plan, Run


class Systemd:
    """A manager as systemctl shows it; units are read where the test's machine has them."""

    def __init__(self, *directories: Path) -> None:
        self.directories = directories
        self.loaded: dict[str, str] = {}
        self.enabled: set[str] = set()
        self.active: set[str] = set()
        self.extra: dict[str, str] = {}
        self.silent: Finished | NotFinished | None = None
        self.refuses_start = ""
        self.calls: list[tuple[str, ...]] = []

    def run(self, run: Run) -> Finished | NotFinished:
        tool = Path(run.argv[0]).name
        if tool == "install":
            Path(run.argv[-1]).write_bytes(run.stdin or b"")
            return Finished(0)
        if tool == "mv":
            Path(run.argv[-2]).replace(run.argv[-1])
            return Finished(0)
        if tool == "rm":
            Path(run.argv[-1]).unlink(missing_ok=True)
            return Finished(0)
        self.calls.append(run.argv[1:])
        if self.silent is not None:
            return self.silent
        verb, *rest = [word for word in run.argv[1:] if word != "--user"]
        units = [word for word in rest if not word.startswith("--")]
        match verb:
            case "show":
                return Finished(0, self._show(units[0]).encode())
            case "daemon-reload":
                self.loaded = {
                    file.name: file.read_text()
                    for directory in self.directories
                    for file in directory.glob("devtls*.s*")
                }
            case "enable":
                self.enabled.update(units)
            case "disable":
                self.enabled.difference_update(units)
        if verb in ("restart", "start") or ("--now" in rest and verb == "enable"):
            if self.refuses_start:
                return Finished(1, b"", self.refuses_start.encode())
            self.active.update(units)
        if verb == "stop" or ("--now" in rest and verb == "disable"):
            self.active.difference_update(units)
        return Finished(0)

    def _show(self, unit: str) -> str:
        shown = {
            "LoadState": "loaded" if unit in self.loaded else "not-found",
            "UnitFileState": "enabled" if unit in self.enabled else "",
            "ActiveState": "active" if unit in self.active else "inactive",
            "MainPID": "77" if unit in self.active and unit == UNIT else "0",
            **self.extra,
        }
        return "\n".join(f"{name}={value}" for name, value in shown.items()) + "\n"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A Linux with systemd, whose user has done nothing yet."""
    root, home = tmp_path / "system", tmp_path / "home"
    for directory in (root / "usr/bin", root / "run/systemd/system", root / "etc/systemd/system", root / "proc/net"):
        directory.mkdir(parents=True)
    home.mkdir()
    systemctl = root / "usr/bin/systemctl"
    systemctl.write_text("")
    systemctl.chmod(0o755)
    (root / "proc/net/if_inet6").write_text(f"{1:032x} 01 80 10 80       lo\n")
    return Machine.redirected(root, home, {}, elevation=ALREADY_ROOT)


@pytest.fixture
def systemd(machine: Machine) -> Systemd:
    return Systemd(machine.config_home / "systemd/user", machine.root / "etc/systemd/system")


@pytest.fixture
def desired(machine: Machine) -> DesiredState:
    return DesiredState(
        user=User("ann", 1000, 1000, machine.home),
        zones=(),
        hostnames=(),
        command=("/opt/my tools/python", "-m", "devtls"),
        environment={"DEVTLS_STATE_DIR": "/home/ann/50% state", "PATH": "/usr/bin", "SECRET": "x"},
    )


@pytest.fixture
def do(systemd: Systemd) -> Callable[[Plan], Outcome]:
    return lambda plan: execute(plan, systemd)


def moved(desired: DesiredState) -> DesiredState:
    """Return the desired after an upgrade that put the interpreter elsewhere."""
    return dataclasses.replace(desired, command=("/opt/new/python", "-m", "devtls"))


NO_BUS = Finished(1, b"", b"Failed to connect to bus: No medium found\n")
TIMED_OUT = NotFinished(StepFailure.TIMED_OUT, "systemctl did not end within 5 s")
