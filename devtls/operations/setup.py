"""Setup: trust, names that resolve, ports without a number and the service, in one plan.

Owns the choice of the changes, and of the configuration that each goes by: a change that starts devtls goes by the file
that this devtls will read, every other by the project's. Refuses a service without routes. The failure of one change
never stops the others; the result says whether everything that was asked for is applied.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from devtls.config import Config
from devtls.errors import DevtlsError, SetupFailed
from devtls.names import Hostname
from devtls.operations.changes import apply_all, planned_results
from devtls.operations.context import Context
from devtls.operations.control import RunningProxy, find_running, raise_failure, without_demos
from devtls.operations.desired_state import (
    config_of_service,
    desired_state_of_service,
    read_desired_state,
    with_example,
)
from devtls.operations.trust import TrustPlan, TrustRequest, TrustResult, apply_trust, create_authority, plan_trust
from devtls.system.changes.change import BLOCKED, SETUP_PARTS, AnyChange, ChangeState, DesiredState, Part, Status
from devtls.system.changes.discovery import find_changes
from devtls.system.changes.engine import Proposal, Result, propose
from devtls.system.changes.service.account import is_service
from devtls.system.machine.plan import Plan
from devtls.web.control_messages import ABOUT, LOOK, About, RefreshRequest

USUAL_HTTPS_PORT = 443
USUAL_PARTS = (Part.NAMES, Part.PORTS)
"""The parts of a setup that names none; it trusts besides."""


@dataclass(frozen=True, slots=True)
class SetupRequest:
    """The parts of a setup, the methods instead of the usual ones, and names besides those of routes.

    `directory` is the project's, None for none. `zones` are those of a CA to be made.
    """

    parts: tuple[Part, ...] = USUAL_PARTS
    with_trust: bool = True
    methods: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    zones: tuple[Hostname, ...] = ()
    directory: Path | None = None


@dataclass(frozen=True, slots=True)
class SetupPlan:
    """The changes as they are, and the commands that bring about the desired state.

    `trust` is None when only parts are asked for. `hostnames` are the names that a person asked for or that routes
    serve; without any, the desired state has the name of every example.
    """

    request: SetupRequest
    trust: TrustPlan | None
    desired: DesiredState
    hostnames: tuple[str, ...]
    proposals: tuple[Proposal, ...]

    @property
    def plans(self) -> tuple[Plan, ...]:
        """All plans, those of the trust stores first."""
        stores = self.trust.proposals if self.trust else ()
        return tuple(proposal.plan for proposal in (*stores, *self.proposals))

    @property
    def has_work(self) -> bool:
        """Whether the machine would be changed."""
        return any(self.plans)

    @property
    def is_an_example(self) -> bool:
        """Whether the names are those of the example, because there is no route yet."""
        return bool(self.desired.hostnames) and not self.hostnames and Part.NAMES in self.request.parts


@dataclass(frozen=True, slots=True)
class SetupResult:
    """The stores (None when only parts were asked for) and the other changes afterwards."""

    trust: TrustResult | None
    changes: tuple[Result, ...]

    @property
    def missing(self) -> tuple[Result, ...]:
        """The changes that are not applied, although there is a need for them."""
        return tuple(
            result
            for result in self.changes
            # Skipped without a remedy means that this machine has no need for it.
            if not result.is_applied and not (result.state.status is Status.SKIPPED and not result.state.remedy)
        )

    @property
    def complete(self) -> bool:
        """Whether everything that was asked for is applied."""
        return not self.missing and (self.trust is None or self.trust.trusted)

    @property
    def needs_nobody(self) -> bool:
        """Whether nothing is left to a person, not even about a store that does not matter."""
        stores = self.trust.stores if self.trust else ()
        return not self.missing and not any(store.state.status in BLOCKED for store in stores)

    def raise_for_failure(self) -> None:
        """Raise TrustFailed, or SetupFailed for changes that are not applied."""
        if self.trust:
            self.trust.raise_for_failure()
        if self.missing:
            labels = ", ".join(result.label for result in self.missing)
            remedies = [result.state.remedy for result in self.missing if result.state.remedy]
            raise SetupFailed(f"Not applied: {labels}.", hint=remedies[0] if remedies else "")


def plan_setup(context: Context, request: SetupRequest) -> SetupPlan:
    """Probe the stores and the other changes, and plan. Raises UnknownMethod, UnknownStore, Refused, StateError."""
    trust = plan_trust(context, TrustRequest(zones=request.zones)) if request.with_trust else None
    return _plan(context, request, trust)


def create_setup_authority(context: Context, plan: SetupPlan) -> SetupPlan:
    """Return the plan with a CA, made now where there is none and trust is asked for. Raises Refused, StateError."""
    if plan.trust is None:
        return plan
    trust = create_authority(context, plan.trust)
    if trust.zones == plan.trust.zones:
        return replace(plan, trust=trust)
    # The zones decide the resolver's plans, so every plan is made anew.
    return _plan(context, plan.request, trust)  # another process made a CA of other zones at the same moment


def apply_setup(context: Context, plan: SetupPlan) -> SetupResult:
    """Install the root and apply the changes one by one; a CA that is missing is created first."""
    trust = _apply_trust(context, plan.trust) if plan.trust else None
    # Remembered before they are applied: the next setup, from another project, keeps them.
    if Part.NAMES in plan.request.parts and plan.hostnames:
        context.record.remember_hostnames(plan.hostnames)
    return SetupResult(trust, apply_all(context, plan.proposals))


def tell_running(context: Context, plan: SetupPlan) -> tuple[str, ...]:
    """Have every running proxy take over what setup has changed; returns a sentence about each, with what is left.

    A proxy that cannot be told finds open ports out by itself in a moment: that is reported, and no failure.
    """
    sentences = []
    for before in without_demos(find_running(context.paths, context.reporter)):
        try:
            raise_failure(before.send(LOOK, RefreshRequest(setup=True)).error, f"{before.label} goes on as before: ")
            after = before.get(ABOUT, About)
        except DevtlsError as error:
            context.reporter.error(error)
            continue
        sentences.append(_sentence(before, after, Part.PORTS in plan.request.parts))
    return tuple(sentences)


def _sentence(before: RunningProxy, after: About, with_ports: bool) -> str:
    if after.https_port != before.about.https_port:
        return f"{before.label} serves port {after.https_port} too now; {before.about.https_port} goes on."
    if with_ports and after.https_port != USUAL_HTTPS_PORT and after.usual_ports:
        port = f"port {USUAL_HTTPS_PORT}"
        return f"{before.label} goes on at port {after.https_port}: devtls stop, then devtls serve, takes {port}."
    return f"{before.label} has taken over what was changed."


def _apply_trust(context: Context, plan: TrustPlan) -> TrustResult:
    if plan.authority is None or plan.has_work:
        return apply_trust(context, plan)
    # No client is started to prove what has not changed.
    return TrustResult(plan.authority, planned_results(context, plan.proposals))


def _plan(context: Context, request: SetupRequest, trust: TrustPlan | None) -> SetupPlan:
    recorded = [entry.name for entry in context.record.entries(*SETUP_PARTS)]
    machine, runner = context.machine, context.runner
    changes = find_changes(machine, runner, request.parts, methods=request.methods, recorded=recorded)
    zones = trust.zones if trust else context.zones
    found = read_desired_state(context, request.directory, zones, request.names)
    desired = with_example(found)
    proposals = tuple(_propose(context, change, desired) for change in changes)
    return SetupPlan(request, trust, desired, found.hostnames, proposals)


def _propose(context: Context, change: AnyChange, desired: DesiredState) -> Proposal:
    if change.part is not Part.SERVICE and not is_service(change):
        return propose(change, desired)
    named = change.account(change.probe()).config if is_service(change) else ""
    try:
        config = config_of_service(context, Path(named) if named else None, then="devtls setup service")
    except DevtlsError as error:
        # Ports by a socket unit stay possible without routes: they start devtls only at a connection.
        if change.part is not Part.SERVICE:
            return propose(change, desired)
        return _without_routes(propose(change, desired_state_of_service(context, Config())), error)
    return propose(change, desired_state_of_service(context, config))


def _without_routes(proposal: Proposal, error: DevtlsError) -> Proposal:
    """Return a proposal that does nothing: the service would end at once, again and again; one that runs stays."""
    if not proposal.plan:
        return proposal
    remedy = error.hint or "Correct that file, then devtls setup service."
    detail = str(error).rstrip(".")
    state = ChangeState(Status.SKIPPED, detail[:1].lower() + detail[1:], remedy)
    return replace(proposal, state=state, plan=Plan())
