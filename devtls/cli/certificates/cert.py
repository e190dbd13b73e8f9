"""`devtls cert NAME…`: a certificate and its key as files, for servers that devtls does not stand in front of."""

from __future__ import annotations

from pathlib import Path

import click

from devtls.cli.certificates.certificate_view import certificate_json, certificate_text
from devtls.cli.terminal.messages import printable
from devtls.cli.terminal.output import print_json
from devtls.cli.terminal.passphrase import terminal_passphrases
from devtls.cli.terminal.reporter import TerminalReporter
from devtls.operations.certificates import CertificateOptions, IssuedCertificate, KeyAndFiles, issue_certificate
from devtls.operations.config_choice import wants_ocsp
from devtls.operations.context import Context
from devtls.pki.certify import MAX_DAYS
from devtls.pki.leaf import PROFILE
from devtls.system.machine.paths import refuse_sudo_for


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--out", type=click.Path(path_type=Path), default=Path(), metavar="DIR", help="Their directory (.).")
@click.option("--days", type=int, default=PROFILE.leaf_lifetime.days, show_default=True, help=f"At most {MAX_DAYS}.")
@click.option("--client", is_flag=True, help="For TLS client authentication, not for a server.")
@click.option("--p12", is_flag=True, help="One PKCS #12 file with a passphrase in the place of the two PEM files.")
@click.option("--password-fd", type=int, metavar="N", help="With --p12: read its passphrase from this descriptor.")
@click.option(
    "--key-type",
    type=click.Choice(["ecdsa", "rsa"]),
    default="ecdsa",
    show_default=True,
    help="The kind of key: ECDSA on P-256, or RSA of 2,048 bits.",
)
@click.option("--fullchain", is_flag=True, help="Add the root at the end of the chain.")
@click.option("--force", is_flag=True, help="Overwrite files that are there.")
@click.option("--passphrase-fd", type=int, metavar="N", help="Read the passphrase of a locked CA from this descriptor.")
@click.option("--json", "as_values", is_flag=True, help="Print the result as JSON.")
def command(
    *,
    names: tuple[str, ...],
    out: Path,
    days: int,
    client: bool,
    p12: bool,
    password_fd: int | None,
    passphrase_fd: int | None,
    key_type: str,
    fullchain: bool,
    force: bool,
    as_values: bool,
) -> None:
    """Write a certificate and its key for another server: devtls cert db.dev.local.

    NAME.pem holds the certificate and the intermediate, which is what nginx, Apache and databases want; NAME-key.pem
    the key, for you alone. Several names go into one certificate: host names in the CA's zones, *.name, loopback
    addresses.
    """
    if password_fd is not None and not p12:
        raise click.UsageError("--password-fd goes with --p12.")
    refuse_sudo_for("cert")
    context = Context.here(TerminalReporter(), terminal_passphrases(passphrase_fd))
    options = CertificateOptions(
        "client" if client else "server", days, ocsp=wants_ocsp(context.paths, context.reporter), fullchain=fullchain
    )
    # A second descriptor: a locked CA has a passphrase of its own.
    pkcs12 = terminal_passphrases(password_fd, option="--password-fd") if p12 else None
    _show(issue_certificate(context, names, options, KeyAndFiles(out, key_type, pkcs12, force)), as_values=as_values)


def _show(issued: IssuedCertificate, *, as_values: bool) -> None:
    if as_values:
        files = {role: str(path) for role, path in issued.files.items()}
        print_json({**certificate_json(issued), "files": files})
        return
    if "pkcs12" in issued.files:
        click.echo(printable(f"Certificate and key  {issued.files['pkcs12']}"))
    else:
        click.echo(printable(f"Certificate  {issued.files['certificate']}"))
        click.echo(printable(f"Key          {issued.files['key']}"))
    click.echo(f"{certificate_text(issued)}.", err=True)
