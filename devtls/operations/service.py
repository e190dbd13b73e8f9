"""The service: devtls started by the system itself, always as the user.

Owns the order: check the routes, probe, plan, apply, probe again. It goes the way of `devtls setup service`, record
included, so that `devtls unsetup` reverts it as well. Refuses a service that would have no route to serve, and to call
it installed before the system says that it runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from devtls.errors import SetupFailed
from devtls.operations.changes import apply_all, planned_results
from devtls.operations.context import Context
from devtls.operations.control import RunningProxy, find_running
from devtls.operations.desired_state import config_of_service, desired_state_of_service
from devtls.system.changes.change import Part
from devtls.system.changes.engine import Proposal, Result, propose
from devtls.system.changes.service.account import Account, AnyService, Log
from devtls.system.changes.service.discovery import find_services
from devtls.web.control_messages import STATUS, ServeStatus, StatusAnswer


@dataclass(frozen=True, slots=True)
class ServicePlan:
    """The user's own service as it is, and the commands that install and start it."""

    service: AnyService
    account: Account
    proposal: Proposal

    @property
    def has_work(self) -> bool:
        """Whether the machine would be changed."""
        return bool(self.proposal.plan)


@dataclass(frozen=True, slots=True)
class ServiceResult:
    """The service afterwards; `pid` is its process, 0 where the system does not tell."""

    change: Result
    pid: int

    def raise_for_failure(self) -> None:
        """Raise SetupFailed when it is not installed or does not run."""
        if not self.change.is_applied:
            raise SetupFailed(f"The service was not installed: {_half(self.change)}.", hint=self.change.state.remedy)


@dataclass(frozen=True, slots=True)
class InstalledService:
    """A service, its account with the system, and its status as `devtls status` shows it, where it can be asked."""

    service: AnyService
    account: Account
    serve: ServeStatus | None


def plan_service(context: Context, config: Path | None = None) -> ServicePlan:
    """Probe the user's own service and plan; a file that an earlier run was given is kept.

    Raises DevtlsError without routes, SetupFailed where the machine has an obstacle.
    """
    # The service starts in another directory.
    config = config.absolute() if config else None
    service = _own_service(context, config)
    account = service.account(service.probe())
    # An installation without --config keeps the file of the one before.
    file = config or (Path(account.config) if account.config else None)
    read = config_of_service(context, file, then="devtls service install")
    proposal = propose(service, desired_state_of_service(context, read))
    (planned,) = planned_results(context, [proposal])
    if not proposal.plan and not planned.is_applied:
        raise SetupFailed(f"The service cannot be installed: {_half(planned)}.", hint=planned.state.remedy)
    return ServicePlan(service, account, proposal)


def apply_service(context: Context, plan: ServicePlan) -> ServiceResult:
    """Install and start the service."""
    (change,) = apply_all(context, [plan.proposal])
    return ServiceResult(change, plan.service.account(plan.service.probe()).pid)


def conflicting_proxies(context: Context, plan: ServicePlan) -> tuple[RunningProxy, ...]:
    """Return the proxies that keep their port from the service."""
    running = find_running(context.paths, context.reporter)
    # The service's own process gives its port up when it is restarted.
    return tuple(proxy for proxy in running if proxy.about.pid != plan.account.pid)


def installed_services(context: Context) -> tuple[InstalledService, ...]:
    """Return each service that is installed, the user's own first."""
    found = [(service, service.account(service.probe())) for service in find_services(context.machine, context.runner)]
    installed = [(service, account) for service, account in found if account.installed]
    running = find_running(context.paths, context.reporter) if installed else []
    serves = {proxy.about.pid: proxy.get(STATUS, StatusAnswer).serve for proxy in running}
    return tuple(InstalledService(service, account, serves.get(account.pid)) for service, account in installed)


def service_log(context: Context) -> Log | None:
    """Return the log of the first service that is installed, None without any."""
    for service in find_services(context.machine, context.runner):
        facts = service.probe()
        if service.account(facts).installed:
            return service.log(facts)
    return None


def _own_service(context: Context, config: Path | None) -> AnyService:
    """Return the user's own service; others are parts of `devtls setup`."""
    services = find_services(context.machine, context.runner, config=config)
    return next(service for service in services if service.part is Part.SERVICE)


def _half(result: Result) -> str:
    return result.state.detail.rstrip(".")
