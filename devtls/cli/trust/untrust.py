"""`devtls untrust`: remove the root from every store; with --forget delete the CA as well.

Owns the order: plan, show, ask once, apply, show. Refuses to run under sudo, and to change anything without an answer.
"""

from __future__ import annotations

import click

from devtls.cli.terminal.options import ALSO, DRY_RUN, EVERY_ROOT, JSON, STORE, YES
from devtls.cli.terminal.output import print_json
from devtls.cli.terminal.passphrase import terminal_passphrases
from devtls.cli.terminal.prompts import ask, refuse_without_terminal
from devtls.cli.terminal.reporter import TerminalReporter
from devtls.cli.trust.untrust_view import planned_untrust_json, show_plan, show_result, show_variables, untrust_json
from devtls.operations.context import Context
from devtls.operations.untrust import UntrustRequest, apply_untrust, plan_untrust
from devtls.system.machine.paths import refuse_sudo_for


@click.command()
@YES
@DRY_RUN
@JSON
@STORE
@click.option("--forget", is_flag=True, help="Also delete the CA with its key.")
@ALSO
@EVERY_ROOT
def command(
    *,
    yes: bool,
    dry_run: bool,
    as_json: bool,
    stores: tuple[str, ...],
    forget: bool,
    also: tuple[str, ...],
    every_root: bool,
) -> None:
    """Remove the root of the development CA from every store; the CA itself stays unless --forget is given."""
    refuse_sudo_for("untrust")
    context = Context.here(TerminalReporter(), terminal_passphrases())
    plan = plan_untrust(context, UntrustRequest(stores, every_root, also, forget))
    # Where there is nothing to do, nobody has to be asked.
    if plan.has_work and not (yes or dry_run):
        refuse_without_terminal("untrust")
    if dry_run and as_json:
        print_json(planned_untrust_json(context, plan))
        return
    show_plan(context, plan, dry_run=dry_run)
    if dry_run:
        click.echo("Nothing was changed.")
        return
    if plan.has_work and not yes:
        ask("Go ahead?")
    result = apply_untrust(context, plan)
    show_variables(result.variables)
    if as_json:
        print_json(untrust_json(result))
    else:
        show_result(context, result)
    result.raise_for_failure()
