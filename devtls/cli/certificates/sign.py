"""`devtls sign FILE.csr`: a certificate for a key that was made elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from devtls.cli.certificates.certificate_view import certificate_text
from devtls.cli.terminal.messages import printable
from devtls.cli.terminal.passphrase import terminal_passphrases
from devtls.cli.terminal.reporter import TerminalReporter
from devtls.errors import StateError
from devtls.operations.certificates import CertificateOptions, sign_request
from devtls.operations.config_choice import wants_ocsp
from devtls.operations.context import Context
from devtls.pki.certify import MAX_DAYS
from devtls.pki.leaf import PROFILE
from devtls.pki.register import serial_text
from devtls.pki.request import read_request
from devtls.system.machine.paths import refuse_sudo_for


@click.command()
@click.argument("file", metavar="FILE")
@click.option("--out", default="-", metavar="FILE", help="Where to write it; - is standard output (the default).")
@click.option("--days", type=int, default=PROFILE.leaf_lifetime.days, show_default=True, help=f"At most {MAX_DAYS}.")
@click.option("--client", is_flag=True, help="For TLS client authentication, not for a server.")
@click.option("--fullchain", is_flag=True, help="Add the root at the end of the chain.")
@click.option("--force", is_flag=True, help="Overwrite the file of --out.")
@click.option("--passphrase-fd", type=int, metavar="N", help="Read the passphrase of a locked CA from this descriptor.")
def command(
    *, file: str, out: str, days: int, client: bool, fullchain: bool, force: bool, passphrase_fd: int | None
) -> None:
    """Sign a certificate request (PEM or DER; - is standard input) that was made with a key elsewhere.

    Its signature must show that its maker holds the key. Only its names and its key are taken; everything else is as
    in devtls cert. The result is the certificate and the intermediate, PEM.
    """
    refuse_sudo_for("sign")
    context = Context.here(TerminalReporter(), terminal_passphrases(passphrase_fd))
    request = read_request(_read(file))
    options = CertificateOptions(
        "client" if client else "server", days, ocsp=wants_ocsp(context.paths, context.reporter), fullchain=fullchain
    )
    # Absolute: the register keeps it as the place, and is read elsewhere.
    target = None if out == "-" else Path(out).absolute()
    issued = sign_request(context, request, options, target, force=force)
    if target is None:
        click.echo(issued.chain_pem, nl=False)
    else:
        click.echo(printable(f"Certificate  {target}"))
    click.echo(f"{certificate_text(issued)}, serial {serial_text(issued.certificate.serial_number)}.", err=True)


def _read(file: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise StateError(
            f"{file} cannot be read: {error.strerror}.", path=file, hint="name a certificate request, or - for stdin"
        ) from error
