"""`devtls setup`: trust, names that resolve and ports without a number, in one plan that is shown and asked for once.

Owns the order: look, show, ask once, do step by step, look again, show. Refuses to run under sudo, and to change
anything without an answer. One change that fails never stops the others; the exit code is 0 only if everything
that was asked for is applied.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import click

from devtls.cli import printable
from devtls.cli.setup.wish import EXAMPLE, config_of_service, read_wish, wish_for_service, with_example
from devtls.cli.terminal.change_view import change_json, change_rows, password_notice, plan_lines, plan_text
from devtls.cli.terminal.prompts import ask_or_refuse, refuse_without_terminal
from devtls.cli.terminal.reporter import TerminalReporter
from devtls.cli.terminal.table import show_table
from devtls.cli.trust import trust
from devtls.cli.trust.proof_view import Trusted, show_rest
from devtls.config import Config
from devtls.errors import DevtlsError, SetupFailed
from devtls.names import DEFAULT_ZONES, Hostname, parse_zone
from devtls.operations.context import Context
from devtls.pki.authority import Authority
from devtls.system.changes.change import BLOCKED, SETUP_PARTS, AnyChange, ChangeState, DesiredState, Kind, Part, Status
from devtls.system.changes.discovery import find_changes
from devtls.system.changes.engine import Executor, Proposal, Result, apply, as_planned, propose
from devtls.system.changes.service.account import is_service
from devtls.system.changes.truststore.store import is_trusted
from devtls.system.machine.machine import Machine
from devtls.system.machine.paths import Paths, refuse_sudo
from devtls.system.machine.plan import Plan
from devtls.system.machine.suffixes import is_public_suffix

PARTS = click.Choice([part.value for part in SETUP_PARTS])


@dataclass(frozen=True)
class _Asked:
    """What was asked for on the command line."""

    parts: tuple[Part, ...]
    whole: bool
    methods: tuple[str, ...]
    names: tuple[str, ...]
    zones: tuple[Hostname, ...]


@dataclass(frozen=True)
class _Setup:
    """Everything that was looked at, and what would be done.

    `desired` is the state that somebody in this directory wants; `known` are the names that somebody asked for;
    `trusting` are the stores, () when only parts are wanted; `survey` is there when the CA is.
    """

    session: trust.Session
    asked: _Asked
    desired: DesiredState
    known: tuple[str, ...]
    proposals: tuple[Proposal, ...]
    trusting: tuple[Proposal, ...] = ()
    survey: trust.Survey | None = None

    @property
    def executor(self) -> Executor:
        session = self.session
        return Executor(session.runner, session.machine.elevation, session.record)

    @property
    def plans(self) -> tuple[Plan, ...]:
        return (*(store.plan for store in self.trusting), *(proposal.plan for proposal in self.proposals))

    @property
    def has_work(self) -> bool:
        return any(self.plans)

    def text(self) -> str:
        elevation = self.session.machine.elevation
        lines = ["Trust:", plan_text(self.trusting, elevation, trust.ABSENT)] if self.asked.whole else []
        lines += plan_lines(self.proposals, elevation, self.asked.parts)
        if self.desired.hostnames and not self.known and Part.NAMES in self.asked.parts:
            lines += ["", f"No route is known yet, so the names are those of {EXAMPLE}; devtls setup names adds yours."]
        return "\n".join(lines).lstrip("\n") + "\n" + password_notice(self.plans, elevation)


@click.command()
@click.argument("parts", nargs=-1, type=PARTS, metavar="[names|ports|service]...")
@click.option("--service", is_flag=True, help="Also start devtls at each login.")
@click.option(
    "--method", "methods", multiple=True, metavar="METHOD", help="By this method, not by the usual one (repeatable)."
)
@click.option("--way", "ways", multiple=True, hidden=True)  # the name of --method before
@click.option("--name", "names", multiple=True, metavar="HOST", help="One more name that shall resolve (repeatable).")
@click.option("--zone", "zones", multiple=True, metavar="ZONE", help="A zone of the new CA (repeatable).")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show what would be done, with the exact commands, and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    *,
    parts: tuple[str, ...],
    service: bool,
    methods: tuple[str, ...],
    ways: tuple[str, ...],
    names: tuple[str, ...],
    zones: tuple[str, ...],
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Make https://app.dev.local work in every program on this machine.

    Trust (as devtls trust does it), names that resolve, ports 443 and 80 without a root process; or only the parts
    that are named. Shows every command, asks once, and looks at each thing again when it was done. devtls unsetup takes
    it all back.
    """
    if sys.platform != "win32":
        refuse_sudo(os.environ, os.geteuid(), "setup")
    if zones and parts:
        raise click.UsageError("--zone is for the CA: devtls setup --zone ZONE, without a part.")
    asked = _Asked(
        _wanted_parts(parts, service=service),
        not parts,
        (*methods, *ways),
        names,
        tuple(parse_zone(zone, is_public_suffix=is_public_suffix) for zone in zones),
    )
    session = trust.Session(Machine.here(), Paths.from_environment(), datetime.now(UTC), as_json)
    if dry_run:
        _show_dry_run(session, asked)
    else:
        _set_up(session, asked, yes=yes)


def _wanted_parts(named: Sequence[str], *, service: bool) -> tuple[Part, ...]:
    wanted = {Part(name) for name in named} if named else {Part.NAMES, Part.PORTS}
    return tuple(part for part in SETUP_PARTS if part in wanted or (service and part is Part.SERVICE))


def _show_dry_run(session: trust.Session, asked: _Asked) -> None:
    if not asked.whole:
        existing, setup = None, _look(session, asked, Context.here(TerminalReporter()).zones)
    else:
        existing = trust.existing_authority(session, asked.zones)
        zones = existing.zones if existing else asked.zones or DEFAULT_ZONES
        setup = _look(session, asked, zones, trust.propose_dry(session, existing, trust.find(session)))
    if session.as_json:
        click.echo(json.dumps(_planned_values(setup, existing), indent=2))
        return
    if asked.whole and existing is None:
        click.echo(trust.promise(setup.desired.zones))
    click.echo(f"This would be done:\n\n{setup.text()}\nNothing was changed.")


def _planned_values(setup: _Setup, existing: Authority | None) -> dict[str, object]:
    session, zones = setup.session, tuple(Hostname(zone) for zone in setup.desired.zones)
    return {
        "dry_run": True,
        "hostnames": list(setup.desired.hostnames),
        "trust": trust.planned_values(session, existing, zones, setup.trusting) if setup.asked.whole else None,
        "measures": [change_json(as_planned(each, session.machine.elevation)) for each in setup.proposals],
    }


def _look(
    session: trust.Session,
    asked: _Asked,
    zones: tuple[Hostname, ...],
    trusting: tuple[Proposal, ...] = (),
    survey: trust.Survey | None = None,
) -> _Setup:
    """Find the changes, read the desired state, and plan; nothing is changed."""
    record = session.record
    recorded = [entry.name for entry in record.entries(*SETUP_PARTS)]
    changes = find_changes(session.machine, session.runner, asked.parts, methods=asked.methods, recorded=recorded)
    desired = read_wish(session.paths, session.machine.home, zones, names=asked.names, earlier=record.hostnames())
    whole = with_example(desired)
    proposals = tuple(_plan_change(change, session, whole) for change in changes)
    return _Setup(session, asked, whole, desired.hostnames, proposals, trusting, survey)


def _plan_change(change: AnyChange, session: trust.Session, desired: DesiredState) -> Proposal:
    """Plan a change; one that starts devtls goes by the file that this devtls will read, not by the one here."""
    if change.part is not Part.SERVICE and not is_service(change):
        return propose(change, desired)
    named = change.account(change.probe()).config if is_service(change) else ""
    file = Path(named) if named else None
    try:
        config = config_of_service(session.machine, session.paths, file, then="devtls setup service")
    except DevtlsError as error:
        if change.part is not Part.SERVICE:
            return propose(change, desired)
        return _without_routes(propose(change, wish_for_service(Config(), session.machine.home)), error)
    return propose(change, wish_for_service(config, session.machine.home))


def _without_routes(proposal: Proposal, why: DevtlsError) -> Proposal:
    """Return a proposal that does nothing: the service would end at once, again and again; what is applied stays."""
    if not proposal.plan:
        return proposal
    remedy = why.hint or "Mend that file, then devtls setup service."
    detail = str(why).rstrip(".")
    state = ChangeState(Status.SKIPPED, detail[:1].lower() + detail[1:], remedy)
    return replace(proposal, state=state, plan=Plan())


def _set_up(session: trust.Session, asked: _Asked, *, yes: bool) -> None:
    setup, made = _survey(session, asked, yes=yes)
    if setup.survey and (made or setup.has_work):
        click.echo(trust.introduction(setup.survey.authority, made=made), err=True)
    if setup.has_work:
        click.echo(f"This will be done:\n\n{setup.text()}", err=True)
        if not yes:
            ask_or_refuse("setup", "on this machine but the folder of the new CA" if made else "on this machine")
    trusted, results = _do(setup)
    if session.as_json:
        click.echo(json.dumps(_values(setup, trusted, results), indent=2))
    elif not setup.has_work and _is_plain(trusted, results):
        click.echo(_everything(setup))
    else:
        _show(trusted, results)
    _judge(trusted, results)
    if setup.has_work and asked.whole and not session.as_json:
        click.echo(f"\n{_next_step(setup.desired)}", err=True)


def _survey(session: trust.Session, asked: _Asked, *, yes: bool) -> tuple[_Setup, bool]:
    """Look at everything; the CA is made here where there is none. Returns whether it was."""
    if not asked.whole:
        return _look(session, asked, Context.here(TerminalReporter()).zones), False
    existing = trust.existing_authority(session, asked.zones)
    stores = trust.find(session)
    if existing is None:  # what is refused is refused before a CA is made
        if not yes:
            refuse_without_terminal("setup")
        _look(session, asked, asked.zones or DEFAULT_ZONES)
    survey = trust.look(session, trust.make_authority(session, existing, asked.zones), stores)
    return _look(session, asked, survey.authority.zones, survey.proposals, survey), existing is None


def _do(setup: _Setup) -> tuple[Trusted | None, tuple[Result, ...]]:
    trusted = None
    elevation = setup.session.machine.elevation
    if setup.survey is not None:
        if setup.survey.has_work:
            trusted = trust.carry_out(setup.survey, setup.session)
        else:
            trusted = Trusted(tuple(as_planned(each, elevation) for each in setup.survey.proposals), (), ())
    if Part.NAMES in setup.asked.parts and setup.known:
        setup.executor.record.remember_hostnames(setup.known)
    results = []
    for proposal in setup.proposals:
        if proposal.plan and (elevation or not proposal.plan.elevated):
            click.echo(f"{printable(proposal.change.label)} …", err=True)
        results.append(apply(proposal, setup.executor))
    return trusted, tuple(results)


def _is_fine(result: Result) -> bool:
    """Whether nothing is left to do: it is applied, or the change says that there is no need for it."""
    return result.is_applied or (result.state.status is Status.SKIPPED and not result.state.remedy)


def _is_plain(trusted: Trusted | None, results: Sequence[Result]) -> bool:
    """Whether one line says it all."""
    stores = trusted.results if trusted else ()
    return all(map(_is_fine, results)) and not any(store.state.status in BLOCKED for store in stores)


def _everything(setup: _Setup) -> str:
    parts = [*(["trust"] if setup.asked.whole else []), *(part.value for part in setup.asked.parts)]
    return f"Everything is applied already: {', '.join(parts)}."


def _values(setup: _Setup, trusted: Trusted | None, results: Sequence[Result]) -> dict[str, object]:
    whole = trust.as_values(setup.survey.authority, trusted) if setup.survey and trusted else None
    complete = all(map(_is_fine, results)) and (trusted is None or is_trusted(trusted.results))
    return {
        "dry_run": False,
        "complete": complete,
        "hostnames": list(setup.desired.hostnames),
        "trust": whole,
        "measures": [change_json(result) for result in results],
    }


def _show(trusted: Trusted | None, results: Sequence[Result]) -> None:
    rows = [*(change_rows(trusted.results, trust.ABSENT) if trusted else []), *change_rows(results)]
    if rows:
        show_table(("What", "State", "Remedy"), rows)
    else:
        click.echo("Nothing needs to be set up on this system.")
    if trusted:
        show_rest(trusted)
    for manual in dict.fromkeys(result.manual for result in results if result.manual):
        click.echo(f"\nManually: {printable(manual)}", err=True)
    if trusted and any(result.changed and result.kind is Kind.BROWSER for result in trusted.results):
        click.echo("\nRestart browsers that are open: they remember.", err=True)


def _judge(trusted: Trusted | None, results: Sequence[Result]) -> None:
    if trusted:
        trust.judge(trusted)
    missing = [result for result in results if not _is_fine(result)]
    if missing:
        labels = ", ".join(result.label for result in missing)
        raise SetupFailed(
            f"Not applied: {labels}.", hint=next((each.state.remedy for each in missing if each.state.remedy), "")
        )


def _next_step(desired: DesiredState) -> str:
    host = next(_examples(desired), f"{EXAMPLE}.{desired.zones[0]}")
    short = host.removesuffix(f".{desired.zones[0]}")
    url = f"https://{host}" + ("" if desired.https_port == 443 else f":{desired.https_port}")
    return f"Next: devtls serve {short}=3000, where 3000 is your app's port; then open {url}"


def _examples(desired: DesiredState) -> Iterator[str]:
    """Yield names to try, the best first: `app` in the first zone, else what is there."""
    zone = desired.zones[0]
    below = [name for name in desired.hostnames if name.endswith(f".{zone}")]
    yield from (name for name in below if name == f"{EXAMPLE}.{zone}")
    yield from below
