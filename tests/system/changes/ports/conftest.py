from __future__ import annotations

from pathlib import Path, PurePath

import pytest

from devtls.system.changes.change import DesiredState, User
from devtls.system.machine.machine import Machine
from devtls.system.machine.plan import ALREADY_ROOT


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A Linux whose system lies in a directory: sysctl is there, and the kernel keeps ports below 1024."""
    system, home = tmp_path / "system", tmp_path / "home"
    for directory in ("usr/sbin", "etc/sysctl.d", "usr/lib/sysctl.d", "proc/sys/net/ipv4", "etc/systemd/system"):
        (system / directory).mkdir(parents=True)
    home.mkdir()
    (system / "proc/sys/net/ipv4/ip_unprivileged_port_start").write_text("1024\n")
    put_tool(system, "sysctl")
    return Machine.redirected(system, home, {}, elevation=ALREADY_ROOT)


def put_tool(system: Path, name: str, script: str = "") -> Path:
    path = system / "usr/sbin" / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def desired() -> DesiredState:
    return DesiredState(User("ann", 1000, 1000, PurePath("/home/ann")), ("dev.local",), ("app.dev.local",))
