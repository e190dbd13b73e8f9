"""How `devtls revoke` and `devtls unrevoke` show what they changed: text for people, JSON for programs."""

from __future__ import annotations

import click

from devtls.cli.certificates.certificate_view import SHORT_SERIAL
from devtls.cli.terminal.messages import printable
from devtls.cli.terminal.output import print_json
from devtls.operations.revocation import IN_MEMORY, CrlAddress, RevocationResult, RevocationTarget

_UNLISTED = (
    "The CA was imported and may sign no CRL (no cRLSign): devtls itself shows such a certificate no more, and\n"
    "no other program learns of it. devtls ca renew makes a CA that can revoke."
)
_ABOUT_INTERMEDIATES = (
    "Programs that check CRLs refuse it, and everything that it signed. The machine that has it is told with\n"
    "devtls ca export --crl --out FILE here, and devtls ca import --crl FILE there. Browsers check no CRL of a CA of\n"
    "your own: for them, devtls ca renew, then devtls ca retire."
)


def show_revocation(result: RevocationResult, *, as_values: bool) -> None:
    """Print the certificates that were changed, the CRLs and the names that get another key."""
    plan = result.plan
    word = "Released" if plan.reason is None else "Revoked"
    changed = [target for target in plan.targets if target.serial in result.changed]
    before = [target for target in plan.targets if target.serial not in result.changed]
    if as_values:
        values = {word.lower(): changed, "already": before, "reason": plan.reason, "lists": result.crls}
        print_json({**values, "dropped": result.renewed_names})
        return
    for label, targets in ((word, changed), ("Already revoked", before)):
        for one in targets:
            click.echo(printable(f"{label}  {_serial(one)}  {', '.join(one.names)} ({one.place})"))
    for crl in result.crls:
        click.echo(_where(crl, is_served=bool(plan.running)), err=True)
    if result.unlisted:
        click.echo(_UNLISTED, err=True)
    if plan.of_root and plan.reason is not None:
        click.echo(_ABOUT_INTERMEDIATES, err=True)
    for name in result.renewed_names:
        click.echo(printable(f"devtls serve shows {name} with another key from now on."), err=True)


def _serial(target: RevocationTarget) -> str:
    """Return enough of a serial number to find it again: one that is in no register has to be written in full."""
    return target.serial if target.place == IN_MEMORY else target.serial[:SHORT_SERIAL]


def _where(crl: CrlAddress, *, is_served: bool) -> str:
    if is_served:
        return f"CRL number {crl.number} is at {crl.url}"
    return (
        f"CRL number {crl.number} is signed; while devtls serve runs it is at {crl.url}\n"
        "devtls ca export --crl writes it to a file."
    )
