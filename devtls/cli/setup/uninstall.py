"""`devtls uninstall`: everything that devtls put on this machine goes, in one plan that is shown and asked for once.

Owns the order: plan, show, ask once, apply, show, and the words for what stays. Refuses to run under sudo.
"""

from __future__ import annotations

import click

from devtls.cli.terminal.change_view import change_json, password_notice, plan_text, revert_lines, revert_rows
from devtls.cli.terminal.messages import printable
from devtls.cli.terminal.options import ALSO, DRY_RUN, EVERY_ROOT, JSON, YES
from devtls.cli.terminal.output import print_json
from devtls.cli.terminal.passphrase import terminal_passphrases
from devtls.cli.terminal.prompts import ask_or_refuse
from devtls.cli.terminal.reporter import TerminalReporter
from devtls.cli.terminal.table import show_table
from devtls.cli.trust.untrust_view import NOT_THERE, deletion_text, remaining_sentences, show_variables
from devtls.operations.changes import planned_results
from devtls.operations.context import Context
from devtls.operations.uninstall import UninstallPlan, UninstallResult, apply_uninstall, plan_uninstall, program_removal
from devtls.system.changes.change import Status
from devtls.system.machine.paths import refuse_sudo_for


@click.command()
@YES
@DRY_RUN
@JSON
@ALSO
@EVERY_ROOT
def command(*, yes: bool, dry_run: bool, as_json: bool, also: tuple[str, ...], every_root: bool) -> None:
    """Revert every change of devtls to this machine, delete the CA, and say how to remove the program.

    The same as devtls unsetup, devtls stop and devtls untrust --forget, and the state directory goes as well. Your own
    devtls.toml files stay.
    """
    refuse_sudo_for("uninstall")
    context = Context.here(TerminalReporter(), terminal_passphrases())
    plan = plan_uninstall(context, also, every_root=every_root)
    if dry_run:
        _show_dry_run(context, plan, as_json=as_json)
        return
    if plan.has_work:
        click.echo(f"This will be done:\n\n{_text(context, plan, dry_run=False)}", err=True)
        for sentence in remaining_sentences(plan.trust):
            click.echo(sentence, err=True)
        if not yes:
            ask_or_refuse("uninstall", "on this machine")
    result = apply_uninstall(context, plan)
    show_variables(result.trust.variables)
    if as_json:
        print_json(_result_json(result))
    else:
        _show(context, result)
    result.raise_for_failure()


def _text(context: Context, plan: UninstallPlan, *, dry_run: bool) -> str:
    verb, elevation, state_dir = "would" if dry_run else "will", context.machine.elevation, context.paths.state_dir
    lines = list(revert_lines(plan.setup.working, elevation))
    if plan.trust.changes_stores:
        lines.append(plan_text([each for each in plan.trust.proposals if each.plan], elevation, NOT_THERE))
    lines += [f"  {proxy.label} {verb} be ended, as with Ctrl-C" for proxy in plan.running]
    if plan.removes_state:
        lines.append(f"  {printable(str(state_dir))} {verb} be removed")
    if plan.trust.deletes_authority:
        lines += ["", deletion_text(context, plan.trust, dry_run=dry_run).rstrip()]
    return "\n".join(lines) + "\n" + password_notice(plan.plans, elevation)


def _show_dry_run(context: Context, plan: UninstallPlan, *, as_json: bool) -> None:
    if as_json:
        values = {
            "dry_run": True,
            "measures": [change_json(change) for change in planned_results(context, plan.setup.working)],
            "stores": [change_json(store) for store in planned_results(context, plan.trust.proposals)],
            "ends": [proxy.about.pid for proxy in plan.running],
            "removes": str(context.paths.state_dir),
        }
        print_json(values)
    elif plan.has_work:
        click.echo(f"This would be done:\n\n{_text(context, plan, dry_run=True)}\nNothing was changed.")
        for sentence in remaining_sentences(plan.trust):
            click.echo(sentence, err=True)
    else:
        click.echo("Nothing of devtls is on this machine but the program itself.")


def _result_json(result: UninstallResult) -> dict[str, object]:
    return {
        "dry_run": False,
        "measures": [change_json(change) for change in result.setup.changes],
        "stores": [change_json(store) for store in result.trust.stores],
        "kept": list(result.kept),
        "program": program_removal(),
    }


def _show(context: Context, result: UninstallResult) -> None:
    stores = [store for store in result.trust.stores if store.changed or store.state.status is not Status.ABSENT]
    if rows := revert_rows((*result.setup.changes, *stores)):
        show_table(("What", "State", "Remedy"), rows)
    state_dir, config_dir = context.paths.state_dir, context.paths.config_dir
    if result.kept:
        click.echo(printable(f"Still in {state_dir}: {', '.join(result.kept)}."), err=True)
    else:
        click.echo(printable(f"{state_dir} is gone, and the CA with it."), err=True)
    if config_dir.is_dir():
        click.echo(printable(f"{config_dir} is yours, and stays."), err=True)
    click.echo(f"Remove the program itself: {program_removal()}", err=True)
