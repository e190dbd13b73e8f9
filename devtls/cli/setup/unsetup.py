"""`devtls unsetup`: revert the changes of `devtls setup`, the trust excepted.

Owns the order: plan, show, ask once, apply, show. `devtls service uninstall` goes the same way.
"""

from __future__ import annotations

import click

from devtls.cli.setup.setup import PARTS
from devtls.cli.terminal.change_view import password_notice, results_json, revert_lines, revert_rows
from devtls.cli.terminal.options import DRY_RUN, JSON, YES
from devtls.cli.terminal.passphrase import terminal_passphrases
from devtls.cli.terminal.prompts import ask_or_refuse
from devtls.cli.terminal.reporter import TerminalReporter
from devtls.cli.terminal.table import show_table
from devtls.operations.changes import planned_results
from devtls.operations.context import Context
from devtls.operations.unsetup import UnsetupPlan, apply_unsetup, plan_unsetup
from devtls.system.changes.change import SETUP_PARTS, Part
from devtls.system.machine.paths import refuse_sudo_for

_NOTHING = "Nothing of devtls setup is on this machine."


@click.command()
@click.argument("parts", nargs=-1, type=PARTS, metavar="[names|ports|service]...")
@YES
@DRY_RUN
@JSON
def command(*, parts: tuple[str, ...], yes: bool, dry_run: bool, as_json: bool) -> None:
    """Revert the changes of devtls setup: names, ports, the service; or only the parts that are named.

    The CA stays trusted: devtls untrust reverts that, devtls uninstall everything.
    """
    refuse_sudo_for("unsetup")
    context = Context.here(TerminalReporter(), terminal_passphrases())
    plan = plan_unsetup(context, [Part(part) for part in parts] or SETUP_PARTS)
    if dry_run:
        show_dry_run(context, plan, _NOTHING, as_json=as_json)
        return
    agree(context, plan, "unsetup", yes=yes)
    result = apply_unsetup(context, plan)
    if as_json:
        click.echo(results_json(result.changes, dry_run=False))
    elif result.changes:
        show_table(("What", "State", "Remedy"), revert_rows(result.changes))
    else:
        click.echo(_NOTHING)
    result.raise_for_failure()
    if result.changes and not as_json and context.keystore.exists():
        click.echo("The CA stays trusted: devtls untrust reverts that, devtls uninstall everything.", err=True)


def show_dry_run(context: Context, plan: UnsetupPlan, nothing: str, *, as_json: bool) -> None:
    """Show the commands that would run; `nothing` says that there are none."""
    if as_json:
        click.echo(results_json(planned_results(context, plan.working), dry_run=True))
    elif plan.has_work:
        lines = revert_lines(plan.working, context.machine.elevation)
        click.echo("\n".join(["This would be done:\n", *lines, "\nNothing was changed."]))
    else:
        click.echo(nothing)


def agree(context: Context, plan: UnsetupPlan, command_name: str, *, yes: bool) -> None:
    """Show the commands that will run, and ask, unless the answer is `yes`. Raises Refused."""
    if plan.has_work:
        elevation = context.machine.elevation
        lines = revert_lines(plan.working, elevation)
        click.echo("\n".join(["This will be done:\n", *lines, password_notice(plan.plans, elevation)]), err=True)
        if not yes:
            ask_or_refuse(command_name, "on this machine")
