"""`devtls trust`: install the root of the CA, which is made when there is none, and prove it with real clients.

Owns the order: plan, show, ask once, apply, show. Refuses to run under sudo, and to change a store without an answer.
"""

from __future__ import annotations

import click

from devtls.cli.terminal.change_view import plan_text
from devtls.cli.terminal.options import DRY_RUN, JSON, STORE, YES, ZONE
from devtls.cli.terminal.output import print_json
from devtls.cli.terminal.passphrase import terminal_passphrases
from devtls.cli.terminal.prompts import ask, refuse_without_terminal
from devtls.cli.terminal.reporter import TerminalReporter
from devtls.cli.trust.trust_view import (
    ABSENT,
    planned_trust_json,
    show_result,
    trust_json,
    which_ca,
    which_ca_would_be_made,
)
from devtls.names import parse_zone
from devtls.operations.ca_keys import encrypted_root_key, root_key_lock
from devtls.operations.config_choice import report_mistake
from devtls.operations.context import Context
from devtls.operations.trust import TrustPlan, TrustRequest, apply_trust, create_authority, plan_trust
from devtls.system.machine.paths import refuse_sudo_for
from devtls.system.machine.suffixes import is_public_suffix
from devtls.system.storage.ca_directory import NO_LOCKS


@click.command()
@YES
@DRY_RUN
@JSON
@STORE
@click.option(
    "--system", "system_wide", is_flag=True, help="macOS, Windows: for every user of this machine (administrator)."
)
@ZONE
@click.option("--keep-root-key", is_flag=True, help="Keep the new root's key, under a passphrase: for teams.")
@click.option("--passphrase-fd", type=int, metavar="N", help="Read that passphrase from this descriptor.")
def command(
    *,
    yes: bool,
    dry_run: bool,
    as_json: bool,
    stores: tuple[str, ...],
    system_wide: bool,
    zones: tuple[str, ...],
    keep_root_key: bool,
    passphrase_fd: int | None,
) -> None:
    """Make this machine's browsers and tools trust your own development CA.

    Makes the CA when there is none, shows every command before it runs, asks once, and proves the result with the
    real curl, openssl, python and node. Only the commands that are shown with sudo are elevated.
    """
    refuse_sudo_for("trust")
    request = TrustRequest(
        tuple(parse_zone(zone, is_public_suffix=is_public_suffix) for zone in zones), stores, system_wide
    )
    context = Context.here(TerminalReporter(), terminal_passphrases())
    report_mistake(context.paths, context.reporter)
    plan = plan_trust(context, request)
    # Where there is nothing to do, nobody has to be asked.
    if not (yes or dry_run) and (plan.has_work or plan.authority is None):
        refuse_without_terminal("trust")
    if keep_root_key and plan.authority is not None:
        encrypted_root_key(context.keystore, plan.authority)
    if dry_run:
        _show_dry_run(context, plan, as_json=as_json)
        return
    locks = root_key_lock(terminal_passphrases(passphrase_fd)) if keep_root_key and plan.authority is None else NO_LOCKS
    plan = create_authority(context, plan, locks)
    _announce(context, plan)
    if plan.has_work and not yes:
        ask("Go ahead?")
    result = apply_trust(context, plan)
    if as_json:
        print_json(trust_json(result))
    else:
        show_result(result)
        if result.changed_a_browser:
            click.echo("\nRestart browsers that are open. Next: devtls serve app=3000", err=True)
    result.raise_for_failure()


def _show_dry_run(context: Context, plan: TrustPlan, *, as_json: bool) -> None:
    if as_json:
        print_json(planned_trust_json(context, plan))
        return
    if plan.authority is None:
        click.echo(which_ca_would_be_made(plan.zones))
    plans = plan_text(plan.proposals, context.machine.elevation, ABSENT)
    click.echo(f"This would be done:\n\n{plans}\n\nNothing was changed.")


def _announce(context: Context, plan: TrustPlan) -> None:
    click.echo(which_ca(plan), err=True)
    if plan.has_work:
        plans = plan_text(plan.proposals, context.machine.elevation, ABSENT)
        click.echo(f"This will be done:\n\n{plans}\n", err=True)
    else:
        click.echo("Nothing to do in any store.\n", err=True)
