"""Uninstall: everything that devtls put on this machine goes, but the program itself.

Owns the order: the changes of `devtls setup`, the running proxies, the root in the stores, the CA, the state directory.
Works when the CA is gone or damaged. Refuses to delete what is the user's: the directory with their `devtls.toml`, and
files in the state directory that devtls did not make. A change that could not be reverted stays recorded, so that a
second run goes on.
"""

from __future__ import annotations

import itertools
import sys
from dataclasses import dataclass
from pathlib import Path, PurePath

from devtls.errors import DevtlsError, NotRunning
from devtls.operations.context import Context
from devtls.operations.control import RunningProxy, find_running
from devtls.operations.proxies import end
from devtls.operations.unsetup import UnsetupPlan, UnsetupResult, apply_unsetup, plan_unsetup
from devtls.operations.untrust import UntrustPlan, UntrustRequest, UntrustResult, apply_untrust, plan_untrust
from devtls.system.leftovers import remove_state
from devtls.system.machine.plan import Plan


@dataclass(frozen=True, slots=True)
class UninstallPlan:
    """The changes, the stores, the proxies that run, and whether there is a state directory."""

    setup: UnsetupPlan
    trust: UntrustPlan
    running: tuple[RunningProxy, ...]
    removes_state: bool

    @property
    def plans(self) -> tuple[Plan, ...]:
        """All plans."""
        return (*self.setup.plans, *(proposal.plan for proposal in self.trust.proposals))

    @property
    def has_work(self) -> bool:
        """Whether anything would be changed."""
        return any(self.plans) or bool(self.running) or self.removes_state


@dataclass(frozen=True, slots=True)
class UninstallResult:
    """The changes and stores afterwards, and the errors of proxies that did not end.

    `kept` names the files that stay in the state directory, with the reason.
    """

    setup: UnsetupResult
    trust: UntrustResult
    kept: tuple[str, ...]
    errors: tuple[DevtlsError, ...]

    def raise_for_failure(self) -> None:
        """Raise DevtlsError when something is left."""
        self.setup.raise_for_failure()
        self.trust.raise_for_failure()
        if self.errors:
            raise self.errors[0]


def plan_uninstall(context: Context, also: tuple[str, ...] = (), *, every_root: bool = False) -> UninstallPlan:
    """Probe everything; nothing is changed. Raises StateError for a damaged record.

    `also` names other tools whose roots go, `every_root` adds those of other devtls CAs.
    """
    trust = plan_untrust(context, UntrustRequest(every_root=every_root, also=also, forget=True))
    running = tuple(find_running(context.paths, context.reporter))
    return UninstallPlan(plan_unsetup(context), trust, running, context.paths.state_dir.is_dir())


def apply_uninstall(context: Context, plan: UninstallPlan) -> UninstallResult:
    """Revert the changes, end the proxies, remove the root, delete the CA and the state directory."""
    setup = apply_unsetup(context, plan.setup)  # the service first: it would start again what is ended
    errors: list[DevtlsError] = []
    for proxy in plan.running:
        try:
            # With those that joined it: one that takes over would go on with a CA that is about to go.
            end(proxy, with_joined=True)
        except NotRunning:  # the service that was reverted
            continue
        except DevtlsError as error:
            errors.append(error)
    # After the proxies: one that still ran would show leaves that nobody trusts, and sign CRLs of a deleted CA.
    trust = apply_untrust(context, plan.trust)
    # Last, since the record of changes, which all of the above reads and writes, is in it.
    kept = remove_state(context.paths.state_dir, context.paths.runtime_dir)
    return UninstallResult(setup, trust, kept, tuple(errors))


def program_removal(prefix: str = sys.prefix, executable: str = sys.executable) -> str:
    """Return the command that removes the program, by where it runs from."""
    parts = PurePath(prefix).parts
    # pipx and uv give each tool an environment of its own, whose pip would leave their links behind.
    if "pipx" in parts:
        return "pipx uninstall devtls"
    if ("uv", "tools") in itertools.pairwise(parts):
        return "uv tool uninstall devtls"
    return f"{Path(executable)} -m pip uninstall devtls"
