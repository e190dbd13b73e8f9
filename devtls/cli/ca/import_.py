"""`devtls ca import`: sign with a CA that was made elsewhere, or publish a later CRL of its root.

Owns what a person must know before: how the CA differs from one of ours, and, loudly, when nothing limits an attacker
who copies its key. Refuses to go on then without a yes of its own.
"""

from __future__ import annotations

from pathlib import Path

import click

from devtls.cli.ca.rollover_view import carry_out_rollover, root_json
from devtls.cli.terminal.messages import printable
from devtls.cli.terminal.output import paint, print_json
from devtls.cli.terminal.passphrase import terminal_passphrases
from devtls.cli.terminal.prompts import ask, refuse_without_terminal
from devtls.cli.terminal.reporter import TerminalReporter
from devtls.daemon.console.style import BOLD, RED
from devtls.errors import Refused
from devtls.names import parse_zone
from devtls.operations.ca_import import ImportFiles, ImportPlan, ReplacedCrl, adopt, plan_import, replace_root_crl
from devtls.operations.context import Context
from devtls.pki.imported import ValidatedCa
from devtls.system.machine.paths import refuse_sudo_for
from devtls.system.machine.suffixes import is_public_suffix

_FILE = click.Path(path_type=Path)
_EXAMPLES = """\
  devtls ca import --cert intermediate.pem --key intermediate.key --chain root.pem
  devtls ca import --cert rootCA.pem --key rootCA-key.pem         mkcert's: see mkcert -CAROOT"""


@click.command(name="import", short_help="Sign with a CA of step-ca, Vault, AD CS, mkcert or a colleague.")
@click.option("--cert", "certificate", type=_FILE, metavar="FILE", help="The certificate that signs.")
@click.option("--key", type=_FILE, metavar="FILE", help="Its key.")
@click.option("--chain", type=_FILE, metavar="FILE", help="Every certificate above it, up to the root.")
@click.option("--crl", type=_FILE, metavar="FILE", help="The root's CRL, to be published here.")
@click.option("--zone", "zones", multiple=True, metavar="ZONE", help="Serve this zone (repeatable).")
@click.option("--unconstrained", is_flag=True, help="Accept a CA that could speak for every site.")
@click.option("--passphrase-fd", type=int, metavar="N", help="Read the key's passphrase from this descriptor.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--anyway", is_flag=True, help="Switch although a store does not trust its root.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    *,
    certificate: Path | None,
    key: Path | None,
    chain: Path | None,
    crl: Path | None,
    zones: tuple[str, ...],
    unconstrained: bool,
    passphrase_fd: int | None,
    yes: bool,
    anyway: bool,
    as_json: bool,
) -> None:
    """Let devtls sign with a CA that was made elsewhere; its key is copied into the CA's directory.

    Everything is checked first, and every difference from a CA that devtls makes is shown. Where there is a CA
    already, the imported one takes over, and the one before stays trusted until devtls ca retire. With --crl alone, a
    later CRL of the present CA's root is published from now on.
    """
    if crl is not None and certificate is None and key is None:
        _show_crl(replace_root_crl(Context.here(TerminalReporter()), crl), as_json=as_json)
        return
    if certificate is None or key is None:
        raise click.UsageError(f"A CA is a certificate and its key:\n\n{_EXAMPLES}")
    refuse_sudo_for("ca import")
    if not yes:
        refuse_without_terminal("ca import", has_dry_run=False)
    context = Context.here(TerminalReporter(), terminal_passphrases())
    wanted = tuple(parse_zone(zone, is_public_suffix=is_public_suffix) for zone in zones)
    plan = plan_import(context, ImportFiles(certificate, key, chain, crl), wanted, terminal_passphrases(passphrase_fd))
    _show_differences(plan.validated)
    _agree(plan, yes=yes, unconstrained=unconstrained)
    rollover = adopt(context, plan)
    if rollover is not None:
        carry_out_rollover(context, rollover, yes=yes, anyway=anyway, as_json=as_json)
    else:
        _show(plan.validated, as_json=as_json)


def _show_differences(ca: ValidatedCa) -> None:
    click.echo(f"This CA signs for {', '.join(ca.authority.zones)}. It differs from one that devtls makes:\n", err=True)
    for difference in ca.differences:
        click.echo(f"  * {printable(difference)}", err=True)
    if not ca.name_constrained:
        click.echo(
            paint("\n  NOTHING LIMITS THIS CA TO DEVELOPMENT NAMES.", RED, BOLD)
            + "\n  An attacker who copies its key from this machine can pose as any site on earth, your bank's\n"
            "  included, to everything that trusts its root. devtls itself signs for the zones alone.",
            err=True,
        )
    click.echo("", err=True)


def _agree(plan: ImportPlan, *, yes: bool, unconstrained: bool) -> None:
    """Ask for what no later question covers; raise Refused for a no."""
    if plan.validated.name_constrained or unconstrained:
        # Where a CA signs already, the rollover asks, with the plan in view.
        if plan.present is None and not yes:
            ask("Sign with it?")
        return
    # --yes is in scripts, written before anybody saw this CA: it must not answer for "every site".
    if yes:
        raise Refused("The CA could speak for every site.", hint="--unconstrained says that you want it all the same")
    ask("Sign with it all the same?")


def _show(ca: ValidatedCa, *, as_json: bool) -> None:
    if as_json:
        differences = list(ca.differences)
        values = {"root": root_json(ca.authority), "fenced": ca.name_constrained, "differences": differences}
        print_json(values)
    else:
        click.echo(f"devtls root {ca.authority.id} signs from now on. Next: devtls trust", err=True)


def _show_crl(crl: ReplacedCrl, *, as_json: bool) -> None:
    authority, revoked = crl.authority, crl.authority.withdrawn is not None
    if as_json:
        values = {"root": root_json(authority), "list": {"url": crl.url, "number": crl.number}, "revoked": revoked}
        print_json(values)
    else:
        click.echo(
            f"CRL number {crl.number} of devtls root {authority.id}: devtls serve publishes it at {crl.url}", err=True
        )
    if revoked:
        click.echo(
            f"{authority.withdrawn_in_words}\nAsk for another (devtls ca import), or make your own: devtls ca renew",
            err=True,
        )
