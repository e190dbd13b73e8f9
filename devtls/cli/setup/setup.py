"""`devtls setup`: trust, names that resolve and ports without a number, in one plan that is shown and asked for once.

Owns the order: plan, show, ask once, apply, show. Refuses to run under sudo, and to change anything without an answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from devtls.cli.setup.setup_view import (
    next_step,
    nothing_to_do,
    plan_text,
    planned_json,
    setup_json,
    show_result,
    summary,
)
from devtls.cli.terminal.messages import printable
from devtls.cli.terminal.options import DRY_RUN, JSON, YES, ZONE
from devtls.cli.terminal.output import print_json
from devtls.cli.terminal.passphrase import terminal_passphrases
from devtls.cli.terminal.prompts import ask_or_refuse, refuse_without_terminal
from devtls.cli.terminal.reporter import TerminalReporter
from devtls.cli.trust.trust_view import which_ca, which_ca_would_be_made
from devtls.names import parse_zone
from devtls.operations.context import Context
from devtls.operations.setup import (
    USUAL_PARTS,
    SetupPlan,
    SetupRequest,
    apply_setup,
    create_setup_authority,
    plan_setup,
    tell_running,
)
from devtls.system.changes.change import SETUP_PARTS, Part
from devtls.system.machine.paths import refuse_sudo_for
from devtls.system.machine.suffixes import is_public_suffix

PARTS = click.Choice([part.value for part in SETUP_PARTS])


@click.command()
@click.argument("parts", nargs=-1, type=PARTS, metavar="[names|ports|service]...")
@click.option("--service", is_flag=True, help="Also start devtls at each login.")
@click.option(
    "--method", "methods", multiple=True, metavar="METHOD", help="By this method, not by the usual one (repeatable)."
)
@click.option("--way", "former_methods", multiple=True, hidden=True)  # the name of --method before
@click.option("--name", "names", multiple=True, metavar="HOST", help="One more name that shall resolve (repeatable).")
@ZONE
@YES
@DRY_RUN
@JSON
def command(
    *,
    parts: tuple[str, ...],
    service: bool,
    methods: tuple[str, ...],
    former_methods: tuple[str, ...],
    names: tuple[str, ...],
    zones: tuple[str, ...],
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Make https://app.dev.local work in every program on this machine.

    Trust (as devtls trust does it), names that resolve, ports 443 and 80 without a root process; or only the parts
    that are named. Shows every command, asks once, and probes each change again when it was applied. devtls unsetup
    reverts them all.
    """
    refuse_sudo_for("setup")
    if zones and parts:
        raise click.UsageError("--zone is for the CA: devtls setup --zone ZONE, without a part.")
    context = Context.here(TerminalReporter(), terminal_passphrases())
    request = SetupRequest(
        parts=_parts(parts, service=service),
        with_trust=not parts,
        methods=(*methods, *former_methods),
        names=names,
        zones=tuple(parse_zone(zone, is_public_suffix=is_public_suffix) for zone in zones),
        directory=_directory(context),
    )
    plan = plan_setup(context, request)
    if dry_run:
        _show_dry_run(context, plan, as_json=as_json)
    else:
        _set_up(context, plan, yes=yes, as_json=as_json)


def _set_up(context: Context, plan: SetupPlan, *, yes: bool, as_json: bool) -> None:
    if plan.trust and plan.trust.authority is None and not yes:
        refuse_without_terminal("setup")
    plan = create_setup_authority(context, plan)
    _announce(context, plan)
    if plan.has_work and not yes:
        created = plan.trust is not None and plan.trust.created
        ask_or_refuse("setup", f"on this machine{' but the directory of the new CA' if created else ''}")
    result = apply_setup(context, plan)
    running = tell_running(context, plan) if plan.has_work else ()
    if as_json:
        print_json(setup_json(plan, result))
    elif not plan.has_work and result.needs_nobody:
        click.echo(nothing_to_do(plan))
    else:
        show_result(result)
    for sentence in running:
        click.echo(f"\n{printable(sentence)}", err=True)
    result.raise_for_failure()
    # Who serves already has been told: the next step is done.
    if plan.has_work and plan.trust and not running and not as_json:
        click.echo(f"\n{next_step(plan.desired)}", err=True)


def _parts(named: Sequence[str], *, service: bool) -> tuple[Part, ...]:
    asked = {Part(name) for name in named} or set(USUAL_PARTS)
    return tuple(part for part in SETUP_PARTS if part in asked or (service and part is Part.SERVICE))


def _directory(context: Context) -> Path | None:
    try:
        return Path.cwd()
    except FileNotFoundError as error:  # the directory that the shell is in was removed
        context.reporter.warning(f"There is no current directory: {error.strerror}.")
        return None


def _show_dry_run(context: Context, plan: SetupPlan, *, as_json: bool) -> None:
    if as_json:
        print_json(planned_json(context, plan))
        return
    if plan.trust and plan.trust.authority is None:
        click.echo(which_ca_would_be_made(plan.trust.zones))
    click.echo(f"This would be done:\n\n{plan_text(context, plan)}\nNothing was changed.")


def _announce(context: Context, plan: SetupPlan) -> None:
    if plan.trust and (plan.trust.created or plan.has_work):
        click.echo(which_ca(plan.trust), err=True)
    if plan.has_work:
        click.echo(f"This will be done:\n\n{plan_text(context, plan)}\n{summary(context, plan)}", err=True)
