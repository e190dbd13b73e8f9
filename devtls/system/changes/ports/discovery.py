"""The changes of ports on this machine: on Linux the sysctl, and the redirect only when it is asked for.

Refuses Linux capabilities on the interpreter: every script that it runs, whoever starts it, would have them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from devtls.system.changes.change import AnyChange
from devtls.system.changes.ports.nft import NftRedirect
from devtls.system.changes.ports.open import OpenPorts
from devtls.system.changes.ports.sysctl import SysctlChange
from devtls.system.machine.execute import Runner
from devtls.system.machine.machine import Machine

_USUAL_ON_LINUX = "sysctl"


def find_changes(
    machine: Machine, runner: Runner, *, methods: Collection[str] = (), recorded: Collection[str] = ()
) -> tuple[AnyChange, ...]:
    """Return the changes that suit this machine, in their order.

    `methods` asks for certain ones by the second half of their names, in the place of the usual one; `recorded` adds
    those of an earlier setup.
    """
    if machine.platform in ("darwin", "win32"):
        return (OpenPorts(machine.platform),)
    if machine.platform != "linux":
        return ()
    known: dict[str, Callable[[], AnyChange]] = {
        _USUAL_ON_LINUX: lambda: SysctlChange(machine),
        "nft": lambda: NftRedirect(machine),
    }
    asked = {method for method in methods if method in known} or {_USUAL_ON_LINUX}
    asked |= {name.removeprefix("ports:") for name in recorded if name.startswith("ports:")}
    return tuple(make() for method, make in known.items() if method in asked)
