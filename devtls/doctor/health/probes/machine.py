"""Facts about this machine: versions, and what looks names up."""

from __future__ import annotations

import platform
import re
import ssl

import devtls
from devtls.doctor.health.machine import MachineFacts
from devtls.doctor.health.probes.names import look_at_resolver
from devtls.system.changes.truststore.wsl import is_wsl
from devtls.system.machine.execute import Finished, Runner
from devtls.system.machine.machine import Machine
from devtls.system.machine.plan import Run

_SYSTEMCTL_S = 2.0


def look_at_machine(machine: Machine, runner: Runner) -> MachineFacts:
    """Return the versions of what matters."""
    return MachineFacts(
        system=f"{platform.system()} {platform.machine()}",
        devtls=devtls.__version__,
        python=platform.python_version(),
        openssl=ssl.OPENSSL_VERSION,
        systemd=_systemd(machine, runner),
        resolved=(machine.root / "run/systemd/resolve/stub-resolv.conf").is_file(),
        sources=look_at_resolver(machine.root).sources,
        wsl=machine.platform == "linux" and is_wsl(machine),
    )


def _systemd(machine: Machine, runner: Runner) -> int:
    tool = machine.system_tool("systemctl")
    if tool is None:
        return 0
    ended = runner.run(Run((str(tool), "--version"), timeout_s=_SYSTEMCTL_S))
    found = re.match(rb"systemd (\d+)", ended.stdout) if isinstance(ended, Finished) else None
    return int(found[1]) if found else 0
