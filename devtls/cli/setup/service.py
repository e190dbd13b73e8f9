"""`devtls service`: devtls started by the system itself, always as the user: install, uninstall, status, logs."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import click

from devtls.cli.setup import unsetup
from devtls.cli.setup.service_view import status_json, status_lines
from devtls.cli.terminal.change_view import change_lines, results_json
from devtls.cli.terminal.log_tail import show_log
from devtls.cli.terminal.messages import printable
from devtls.cli.terminal.options import DRY_RUN, JSON, YES
from devtls.cli.terminal.output import print_json
from devtls.cli.terminal.passphrase import terminal_passphrases
from devtls.cli.terminal.prompts import ask_or_refuse
from devtls.cli.terminal.reporter import TerminalReporter
from devtls.errors import ExitCode, NotRunning
from devtls.operations.changes import planned_results
from devtls.operations.context import Context
from devtls.operations.service import (
    ServicePlan,
    ServiceResult,
    apply_service,
    conflicting_proxies,
    installed_services,
    plan_service,
    service_log,
)
from devtls.operations.unsetup import apply_unsetup, plan_unsetup
from devtls.system.changes.change import Part
from devtls.system.changes.service.account import ServiceLogFile
from devtls.system.machine.launch import launch
from devtls.system.machine.paths import refuse_sudo_for
from devtls.web.control_messages import FORMAT

_NONE = "No service of devtls is installed for you."
_ALREADY = "It is installed already, and runs: devtls service status"


@click.group(invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Have devtls serve started by the system, as you: at login, and again when it crashes."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def _context(command_name: str) -> Context:
    refuse_sudo_for(f"service {command_name}")
    return Context.here(TerminalReporter(), terminal_passphrases())


@command.command(short_help="Start devtls at login from now on, and at once.")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="The service uses this file.")
@YES
@DRY_RUN
@JSON
def install(*, config: Path | None, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Start devtls serve at login from now on, and at once, as you: a systemd user service, a launchd agent, or a task.

    It serves your own devtls.toml (~/.config/devtls), not the one of the directory you are in, unless FILE is given.
    """
    context = _context("install")
    plan = plan_service(context, config)
    if dry_run:
        _show_dry_run(context, plan, as_json=as_json)
        return
    if plan.has_work:
        click.echo(f"This will be done:\n\n{_text(context, plan)}\n", err=True)
        _warn_of_others(context, plan)
        if not yes:
            ask_or_refuse("service install", "on this machine")
    result = apply_service(context, plan)
    if as_json:
        click.echo(results_json([result.change], dry_run=False))
    elif result.change.is_applied:
        click.echo(_welcome(result) if result.change.changed else _ALREADY)
    result.raise_for_failure()


def _show_dry_run(context: Context, plan: ServicePlan, *, as_json: bool) -> None:
    if as_json:
        click.echo(results_json(planned_results(context, [plan.proposal]), dry_run=True))
    elif plan.has_work:
        click.echo(f"This would be done:\n\n{_text(context, plan)}\n\nNothing was changed.")
    else:
        click.echo(_ALREADY)


def _text(context: Context, plan: ServicePlan) -> str:
    return "\n".join(change_lines(plan.proposal, context.machine.elevation))


def _warn_of_others(context: Context, plan: ServicePlan) -> None:
    for proxy in conflicting_proxies(context, plan):
        click.echo(
            f"{proxy.label} runs already, on port {proxy.about.https_port}, which the service will not get while it "
            "does: devtls stop ends it.\n",
            err=True,
        )


def _welcome(result: ServiceResult) -> str:
    process = f" (process {result.pid})" if result.pid else ""
    return f"devtls runs as a service{process}. devtls service status and devtls service logs show more."


@command.command(short_help="Revert that: stop the service and remove its files.")
@YES
@DRY_RUN
@JSON
def uninstall(*, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Revert that: stop the service, disable it, and remove the files that devtls service install wrote."""
    context = _context("uninstall")
    plan = plan_unsetup(context, [Part.SERVICE])
    if dry_run:
        unsetup.show_dry_run(context, plan, _NONE, as_json=as_json)
        return
    unsetup.agree(context, plan, "service uninstall", yes=yes)
    result = apply_unsetup(context, plan)
    if as_json:
        click.echo(results_json(result.changes, dry_run=False))
    result.raise_for_failure()
    if not as_json:
        click.echo("The service is gone." if plan.has_work else _NONE)


@command.command(short_help="Say whether it is installed and runs.")
@JSON
def status(*, as_json: bool) -> int:
    """Say whether a service is installed and runs, and show its part of devtls status."""
    installed = installed_services(_context("status"))
    if as_json:
        print_json({"format": FORMAT, "services": [status_json(each) for each in installed]})
    elif not installed:
        raise NotRunning(_NONE, hint="devtls service install")
    else:
        now = datetime.now().astimezone()
        click.echo("\n\n".join("\n".join(status_lines(each, now)) for each in installed))
    return ExitCode.OK if any(each.account.running for each in installed) else ExitCode.NOT_RUNNING


@command.command()
@click.option(
    "--lines",
    "-n",
    type=click.IntRange(0, 1_000_000),
    default=50,
    show_default=True,
    metavar="N",
    help="The number of lines.",
)
@click.option("--follow", "-f", is_flag=True, help="Follow new lines until Ctrl-C.")
def logs(*, lines: int, follow: bool) -> int:
    """Show the last lines of the service's log."""
    log = service_log(_context("logs"))
    if log is None:
        raise NotRunning(_NONE, hint="devtls service install")
    if isinstance(log, ServiceLogFile):
        show_log(log.path, lines, _echo, follow=follow)
        return ExitCode.OK
    return launch([*(log.follow if follow else log.argv), str(lines)], os.environ)


def _echo(text: str) -> None:
    click.echo(printable(text), nl=False)
