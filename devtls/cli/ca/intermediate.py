"""`devtls ca intermediate`: an intermediate for a colleague's machine or a cluster, signed with the root's key.

With a request (--csr) the key never leaves the machine that made it; without one a key is made here.
"""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from devtls.cli.terminal.output import print_json
from devtls.cli.terminal.passphrase import terminal_passphrases
from devtls.cli.terminal.reporter import TerminalReporter
from devtls.names import parse_zone
from devtls.operations.context import Context
from devtls.operations.intermediates import IntermediateRequest, IssuedIntermediate, issue_intermediate
from devtls.pki.profile import Purpose
from devtls.system.machine.suffixes import is_public_suffix

_DAYS = 365


@click.command(name="intermediate", short_help="Sign another intermediate with the root's key, if that was kept.")
@click.option("--csr", type=click.Path(path_type=Path), metavar="FILE", help="Certify the key of this request.")
@click.option("--zone", "zones", multiple=True, metavar="ZONE", help="Only this zone of the root's (repeatable).")
@click.option(
    "--purpose",
    type=click.Choice(["server", "client", "any"]),
    default="any",
    show_default=True,
    help="Certificates that it may sign; devtls ca import needs server or any.",
)
@click.option("--days", type=click.IntRange(1, 3650), default=_DAYS, show_default=True, help="Its validity.")
@click.option("--out", type=click.Path(path_type=Path), default=Path(), metavar="DIR", help="Their directory.")
@click.option("--passphrase-fd", type=int, metavar="N", help="Read the passphrase from this descriptor.")
@click.option("--force", is_flag=True, help="Replace files that exist.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    *,
    csr: Path | None,
    zones: tuple[str, ...],
    purpose: Purpose,
    days: int,
    out: Path,
    passphrase_fd: int | None,
    force: bool,
    as_json: bool,
) -> None:
    """Sign an intermediate that may issue certificates for the root's zones, or some of them, and no CAs below it.

    For a colleague (devtls ca import), or for a cluster's cert-manager. Needs a CA made with --keep-root-key.
    """
    wanted = tuple(parse_zone(zone, is_public_suffix=is_public_suffix) for zone in zones)
    context = Context.here(TerminalReporter(), terminal_passphrases(passphrase_fd))
    issued = issue_intermediate(context, IntermediateRequest(csr, wanted, days, out, force=force, purpose=purpose))
    if as_json:
        print_json(_values(issued))
    else:
        _show(issued)


def _values(issued: IssuedIntermediate) -> dict[str, object]:
    return {
        "id": issued.id,
        "serial": issued.serial,
        "zones": list(issued.zones),
        "purpose": issued.purpose,
        "not_after": issued.certificate.not_valid_after_utc.isoformat(),
        "files": {role: str(path) for role, path in issued.files.items()},
    }


def _show(issued: IssuedIntermediate) -> None:
    for path in issued.files.values():
        click.echo(str(path))
    zones, until = ", ".join(issued.zones), issued.certificate.not_valid_after_utc
    click.echo(f"devtls intermediate {issued.id} speaks for {zones} alone, until {until:%Y-%m-%d}.", err=True)
    roles = {"--cert": "certificate", "--key": "key", "--chain": "root", "--crl": "list"}
    options = " ".join(f"{option} {shlex.quote(str(issued.files.get(role, 'KEY')))}" for option, role in roles.items())
    # An issuer of clients alone shows no browser anything: such a CA is for another program, not for devtls.
    if issued.purpose != "client":
        click.echo(f"On the other machine: devtls ca import {options}", err=True)
    if "key" in issued.files:
        click.echo(
            "Whoever has the key file can pose as these names: send it so that only its receiver can read it, and\n"
            "delete it here. Better: let the receiver make the key, and certify a request (--csr).",
            err=True,
        )
