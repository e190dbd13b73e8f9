"""Which measures for ports there are on this machine: on Linux the sysctl, and the redirect only when it is asked for.

Refuses Linux capabilities on the interpreter: every script that it runs, whoever starts it, would have them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from devtls.system.changes.change import AnyChange
from devtls.system.changes.ports.nft import NftMeasure
from devtls.system.changes.ports.open import OpenPorts
from devtls.system.changes.ports.sysctl import SysctlMeasure
from devtls.system.machine.execute import Runner
from devtls.system.machine.machine import Machine

_USUAL_ON_LINUX = "sysctl"


def find_changes(
    machine: Machine, runner: Runner, *, ways: Collection[str] = (), recorded: Collection[str] = ()
) -> tuple[AnyChange, ...]:
    """Return the measures that suit this machine, in their order.

    `ways` asks for certain ones by the second half of their names, in the place of the usual one; `recorded` adds those
    of an earlier setup.
    """
    if machine.platform in ("darwin", "win32"):
        return (OpenPorts(machine.platform),)
    if machine.platform != "linux":
        return ()
    known: dict[str, Callable[[], AnyChange]] = {
        _USUAL_ON_LINUX: lambda: SysctlMeasure(machine),
        "nft": lambda: NftMeasure(machine),
    }
    asked = {way for way in ways if way in known} or {_USUAL_ON_LINUX}
    asked |= {name.removeprefix("ports:") for name in recorded if name.startswith("ports:")}
    return tuple(make() for way, make in known.items() if way in asked)
