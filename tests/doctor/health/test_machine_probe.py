from __future__ import annotations

from dataclasses import replace

import pytest

from devtls import __version__
from devtls.doctor.health.machine import probe_machine
from devtls.system.machine.execute import ProcessRunner
from devtls.system.machine.machine import Machine


@pytest.mark.parametrize(
    ("script", "version"), [("echo 'systemd 252 (252.39-1~deb12u1)'", 252), ("echo what", 0), ("exit 1", 0), (None, 0)]
)
def test_systemds_version_is_asked_of_systemctl(machine: Machine, script: str | None, version: int) -> None:
    if script is not None:
        tool = machine.root / "usr/bin/systemctl"
        tool.write_text(f"#!/bin/sh\n{script}\n")
        tool.chmod(0o755)
    found = probe_machine(machine, ProcessRunner())
    assert (found.systemd, found.devtls, found.resolved, found.wsl) == (version, __version__, False, False)


def test_resolved_and_wsl_are_seen(machine: Machine) -> None:
    stub = machine.root / "run/systemd/resolve/stub-resolv.conf"
    stub.parent.mkdir(parents=True)
    stub.write_text("")
    found = probe_machine(replace(machine, environ={"WSL_DISTRO_NAME": "Debian"}), ProcessRunner())
    assert (found.resolved, found.wsl) == (True, True)
