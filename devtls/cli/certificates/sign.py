"""`devtls sign FILE.csr`: a certificate for a key that was made elsewhere.

Owns the options and what is said of the request: what it asked for beyond names and key is named, and left out.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from devtls.cli import printable
from devtls.cli.certificates.issuing import begin, in_words
from devtls.errors import StateError
from devtls.pki.certify import MAX_DAYS, check_key
from devtls.pki.leaf import PROFILE
from devtls.pki.register import serial_text
from devtls.pki.request import CertificateRequest, read_request
from devtls.system.machine.paths import refuse_sudo_for
from devtls.system.storage.certificate_files import chain_file, refuse_to_overwrite, write_files


@click.command()
@click.argument("file", metavar="FILE")
@click.option("--out", default="-", metavar="FILE", help="Where to write it; - is standard output (the default).")
@click.option("--days", type=int, default=PROFILE.leaf_lifetime.days, show_default=True, help=f"At most {MAX_DAYS}.")
@click.option("--client", is_flag=True, help="For a client that logs in with it, not for a server.")
@click.option("--fullchain", is_flag=True, help="The root as well, at the end of the chain.")
@click.option("--force", is_flag=True, help="Overwrite the file of --out.")
@click.option("--passphrase-fd", type=int, metavar="N", help="Read the passphrase of a locked CA from this descriptor.")
def command(
    *, file: str, out: str, days: int, client: bool, fullchain: bool, force: bool, passphrase_fd: int | None
) -> None:
    """Sign a certificate request (PEM or DER; - is standard input) that somebody made with a key of their own.

    Its signature must show that they hold the key. Only its names and its key are taken; everything else is as in
    devtls cert. The answer is the certificate and the intermediate, PEM.
    """
    refuse_sudo_for("sign")
    request = read_request(_read(file))
    check_key(request.key)
    issuing = begin(request.names, client=client, days=days, passphrase_fd=passphrase_fd)
    target = None if out == "-" else Path(out).absolute()
    if target is not None and not force:
        refuse_to_overwrite([target])
    _tell_left_out(request)
    leaf = issuing.issue(request.key, by="sign", place="standard output" if target is None else str(target))
    content = chain_file(issuing.chain(leaf, fullchain=fullchain))
    if target is None:
        click.echo(content, nl=False)
    else:
        write_files({}, {target: content}, force=force)
        click.echo(printable(f"Certificate  {target}"))
    click.echo(f"{in_words(issuing.order, leaf)}, serial {serial_text(leaf.serial_number)}.", err=True)


def _read(file: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise StateError(
            f"{file} cannot be read: {error.strerror}.", path=file, hint="name a certificate request, or - for stdin"
        ) from error


def _tell_left_out(request: CertificateRequest) -> None:
    if request.left_out:
        left = "; ".join(request.left_out)
        click.echo(printable(f"Not taken from the request: {left}. Only its names and its key count."), err=True)
