"""`devtls cert NAME…`: a certificate and its key as files, for servers that devtls does not stand in front of.

Owns the options and what is said. Refuses names that the CA cannot speak for, and to overwrite without `--force`.
"""

from __future__ import annotations

import json
from pathlib import Path

import click
from cryptography import x509

from devtls.cli import printable
from devtls.cli.certificates.certificate_view import certificate_json
from devtls.cli.certificates.issuing import begin, in_words
from devtls.cli.terminal.passphrase import terminal_passphrases
from devtls.pki.certify import MAX_DAYS, CertificateTemplate
from devtls.pki.leaf import PROFILE
from devtls.system.machine.paths import refuse_sudo_for
from devtls.system.storage.certificate_files import (
    chain_file,
    file_stem,
    key_file,
    new_certificate_key,
    pkcs12_file,
    refuse_to_overwrite,
    write_files,
)


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--out", type=click.Path(path_type=Path), default=Path(), metavar="DIR", help="Folder for the files (.).")
@click.option("--days", type=int, default=PROFILE.leaf_lifetime.days, show_default=True, help=f"At most {MAX_DAYS}.")
@click.option("--client", is_flag=True, help="For a client that logs in with it, not for a server.")
@click.option("--p12", is_flag=True, help="One PKCS #12 file with a passphrase in the place of the two PEM files.")
@click.option("--password-fd", type=int, metavar="N", help="With --p12: read its passphrase from this descriptor.")
@click.option(
    "--key-type",
    type=click.Choice(["ecdsa", "rsa"]),
    default="ecdsa",
    show_default=True,
    help="The kind of key: ECDSA on P-256, or RSA of 2,048 bits.",
)
@click.option("--fullchain", is_flag=True, help="The root as well, at the end of the chain.")
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
    issuing = begin(names, client=client, days=days, passphrase_fd=passphrase_fd)
    stem = out.absolute() / file_stem(issuing.order.names[0])
    places = [_with(stem, ".p12")] if p12 else [_with(stem, "-key.pem"), _with(stem, ".pem")]
    if not force:
        refuse_to_overwrite(places)
    passphrase = terminal_passphrases(password_fd, option="--password-fd").new(places[0].name).encode() if p12 else b""
    key = new_certificate_key(key_type)
    leaf = issuing.issue(key.public_key(), by="cert", place=str(places[-1]))
    chain = issuing.chain(leaf, fullchain=fullchain)
    if p12:
        content = pkcs12_file(key, chain, str(issuing.order.names[0]), passphrase)
        write_files({places[0]: content}, {}, force=force)
    else:
        write_files({places[0]: key_file(key)}, {places[1]: chain_file(chain)}, force=force)
    _tell(issuing.order, leaf, places, as_values)


def _with(stem: Path, suffix: str) -> Path:
    return stem.with_name(stem.name + suffix)


def _tell(order: CertificateTemplate, leaf: x509.Certificate, places: list[Path], as_values: bool) -> None:
    if as_values:
        files = (
            {"pkcs12": str(places[0])} if len(places) == 1 else {"key": str(places[0]), "certificate": str(places[1])}
        )
        click.echo(json.dumps({**certificate_json(order, leaf), "files": files}, indent=2))
        return
    if len(places) == 1:
        click.echo(printable(f"Certificate and key  {places[0]}"))
    else:
        click.echo(printable(f"Certificate  {places[1]}"))
        click.echo(printable(f"Key          {places[0]}"))
    click.echo(f"{in_words(order, leaf)}.", err=True)
