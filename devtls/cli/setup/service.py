"""`devtls service`: devtls started by the system itself, always as the user.

Owns the order: check the routes, look, show, ask once, do, look again; what is done goes the way of `devtls setup
service`, record included, so that `devtls unsetup` takes it back as well. Refuses sudo, a service that would have no
route to serve, and to call it installed before the system says that it runs.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

import click

from devtls.cli import printable
from devtls.cli.setup import unsetup
from devtls.cli.setup.service_view import status_json, status_lines
from devtls.cli.setup.wish import config_of_service, wish_for_service
from devtls.cli.terminal.change_view import change_lines, results_json
from devtls.cli.terminal.log_tail import show_log
from devtls.cli.terminal.prompts import ask_or_refuse
from devtls.cli.terminal.reporter import TerminalReporter
from devtls.errors import ExitCode, NotRunning, SetupFailed
from devtls.operations.control import find_running
from devtls.system.changes.change import DesiredState, Part
from devtls.system.changes.engine import Executor, Result, apply, as_planned, propose
from devtls.system.changes.record import ChangeRecord
from devtls.system.changes.service.account import AnyService, LogFile
from devtls.system.changes.service.discovery import find_services
from devtls.system.machine.execute import ProcessRunner
from devtls.system.machine.launch import launch
from devtls.system.machine.machine import Machine
from devtls.system.machine.paths import Paths, refuse_sudo_for
from devtls.web.control_messages import FORMAT, STATUS, ServeStatus, StatusAnswer

_NONE = "No service of devtls is installed for you."


@dataclass(frozen=True)
class _Session:
    """What one run works with; everything is looked up once."""

    machine: Machine
    paths: Paths
    config: Path | None = None

    @classmethod
    def begin(cls, command: str, config: Path | None = None) -> _Session:
        """Return a session, unless `command` runs under sudo."""
        refuse_sudo_for(f"service {command}")
        return cls(Machine.here(), Paths.from_environment(), config.absolute() if config else None)

    @cached_property
    def runner(self) -> ProcessRunner:
        return ProcessRunner(self.machine.elevation)

    @cached_property
    def services(self) -> tuple[AnyService, ...]:
        return find_services(self.machine, self.runner, config=self.config)

    @property
    def own(self) -> AnyService:
        """The user's own service; the others are parts of `devtls setup`."""
        return next(service for service in self.services if service.part is Part.SERVICE)

    @property
    def executor(self) -> Executor:
        return Executor(self.runner, self.machine.elevation, ChangeRecord(self.paths.state_dir))

    def desired(self) -> DesiredState:
        """Return the desired service; a file that an earlier run was told to use, stays. Raises DevtlsError."""
        kept = self.own.account(self.own.probe()).config
        file = self.config or (Path(kept) if kept else None)
        config = config_of_service(self.machine, self.paths, file, then="devtls service install")
        return wish_for_service(config, self.machine.home)


_YES = click.option("--yes", "-y", is_flag=True, help="Do not ask.")
_DRY_RUN = click.option("--dry-run", is_flag=True, help="Show the exact commands and change nothing.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


@click.group(invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Have devtls serve started by the system, as you: at login, and again when it crashes."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@command.command(short_help="Start devtls at login from now on, and at once.")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="The service uses this file.")
@_YES
@_DRY_RUN
@_JSON
def install(*, config: Path | None, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Start devtls serve at login from now on, and at once, as you: a systemd user service, a launchd agent, or a task.

    It serves your own devtls.toml (~/.config/devtls), not the one of the folder you are in, unless FILE is given.
    """
    session = _Session.begin("install", config)
    proposal = propose(session.own, session.desired())
    result = as_planned(proposal, session.machine.elevation)
    if not proposal.plan and not result.is_applied:
        raise SetupFailed(f"The service cannot be installed: {_half(result)}.", hint=result.state.remedy)
    text = "\n".join(change_lines(proposal, session.machine.elevation))
    if proposal.plan and not dry_run:
        click.echo(f"This will be done:\n\n{text}\n", err=True)
        _warn_of_others(session)
        if not yes:
            ask_or_refuse("service install", "on this machine")
        result = apply(proposal, session.executor)
    if as_json:
        click.echo(results_json([result], dry_run=dry_run))
    elif not result.is_applied and dry_run:
        click.echo(f"This would be done:\n\n{text}\n\nNothing was changed.")
    elif result.is_applied:
        click.echo(_welcome(session) if result.changed else "It is installed already, and runs: devtls service status")
    if not (dry_run or result.is_applied):
        raise SetupFailed(f"The service was not installed: {_half(result)}.", hint=result.state.remedy)


def _half(result: Result) -> str:
    return result.state.detail.rstrip(".")


def _welcome(session: _Session) -> str:
    account = session.own.account(session.own.probe())
    process = f" (process {account.pid})" if account.pid else ""
    return f"devtls runs as a service{process}. devtls service status and devtls service logs show more."


@command.command(short_help="Take it back: stop the service and remove its files.")
@_YES
@_DRY_RUN
@_JSON
def uninstall(*, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Take it back: stop the service, disable it, and remove what devtls service install wrote."""
    session = _Session.begin("uninstall")
    removal = unsetup.look(session.paths, session.machine, [Part.SERVICE])
    if dry_run:
        unsetup.show_dry_run(removal, _NONE, as_json=as_json)
        return
    unsetup.agree(removal, "service uninstall", yes=yes)
    results = unsetup.carry_out(removal)
    if as_json:
        click.echo(results_json(results, dry_run=False))
    unsetup.judge(results)
    if not as_json:
        click.echo("The service is gone." if removal.has_work else _NONE)


@command.command(short_help="Say whether it is installed and runs.")
@_JSON
def status(*, as_json: bool) -> int:
    """Say whether a service is installed and runs, and what devtls status knows of it."""
    session = _Session.begin("status")
    known = [(service, service.account(service.probe())) for service in session.services]
    installed = [(service, account) for service, account in known if account.installed]
    serves = _serves(session.paths) if installed else {}
    if as_json:
        shown = [status_json(each, account, serves.get(account.pid)) for each, account in installed]
        click.echo(json.dumps({"format": FORMAT, "services": shown}, indent=2))
    elif not installed:
        raise NotRunning(_NONE, hint="devtls service install")
    else:
        now = datetime.now().astimezone()
        parts = (status_lines(each, account, serves.get(account.pid), now) for each, account in installed)
        click.echo("\n\n".join("\n".join(lines) for lines in parts))
    return ExitCode.OK if any(account.running for _, account in installed) else ExitCode.NOT_RUNNING


@command.command()
@click.option(
    "--lines",
    "-n",
    type=click.IntRange(0, 1_000_000),
    default=50,
    show_default=True,
    metavar="N",
    help="So many lines.",
)
@click.option("--follow", "-f", is_flag=True, help="Go on with what comes, until Ctrl-C.")
def logs(*, lines: int, follow: bool) -> int:
    """Show the last lines of the service's log."""
    session = _Session.begin("logs")
    for service in session.services:
        facts = service.probe()
        if service.account(facts).installed:
            log = service.log(facts)
            if isinstance(log, LogFile):
                show_log(log.path, lines, _echo, follow=follow)
                return ExitCode.OK
            return launch([*(log.follow if follow else log.argv), str(lines)], os.environ)
    raise NotRunning(_NONE, hint="devtls service install")


def _echo(text: str) -> None:
    click.echo(printable(text), nl=False)


def _serves(paths: Paths) -> dict[int, ServeStatus]:
    """Return what the running proxies say, by process."""
    return {one.about.pid: one.get(STATUS, StatusAnswer).serve for one in find_running(paths, TerminalReporter())}


def _warn_of_others(session: _Session) -> None:
    service = session.own
    own = service.account(service.probe())
    for one in find_running(session.paths, TerminalReporter()):
        if one.about.pid != own.pid:
            click.echo(
                f"{one.label} runs already, on port {one.about.https_port}, which the service will not get while it "
                "does: devtls stop ends it.\n",
                err=True,
            )
