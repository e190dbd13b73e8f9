"""`devtls ca intermediate`: an intermediate for a colleague's machine or a cluster, signed with the root's key.

Owns the files that are handed out. Refuses a CA whose root's key was dropped, zones outside the root's, and to replace
files. With a request (--csr) the key never leaves the machine that made it; without one a key is made here.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from devtls.cli.ca.root_key import WHAT, required_root_key
from devtls.cli.terminal.passphrase import terminal_passphrases
from devtls.errors import StateError
from devtls.names import Hostname, parse_zone
from devtls.pki.authority import Authority
from devtls.pki.delegation import delegate, key_in_request
from devtls.pki.der import key_pem
from devtls.pki.profile import short_id
from devtls.pki.register import serial_text
from devtls.system.machine.paths import Paths
from devtls.system.machine.randomness import new_leaf_key, new_serial
from devtls.system.machine.suffixes import is_public_suffix
from devtls.system.storage.certificate_files import refuse_to_overwrite, write_files
from devtls.system.storage.keystore import Keystore
from devtls.system.storage.locked_key import Unlocker
from devtls.system.storage.register import Register

_DAYS = 365


@dataclass(frozen=True, slots=True)
class _Handed:
    """An intermediate, with its key when that was made here."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey | None
    zones: tuple[Hostname, ...]

    @property
    def id(self) -> str:
        return short_id(x509.SubjectKeyIdentifier.from_public_key(self.certificate.public_key()))


@click.command(name="intermediate", short_help="Sign another intermediate with the root's key, if that was kept.")
@click.option("--csr", type=click.Path(path_type=Path), metavar="FILE", help="Certify the key of this request.")
@click.option("--zone", "zones", multiple=True, metavar="ZONE", help="Only this zone of the root's (repeatable).")
@click.option("--days", type=click.IntRange(1, 3650), default=_DAYS, show_default=True, help="How long it lasts.")
@click.option("--out", type=click.Path(path_type=Path), default=Path(), metavar="FOLDER", help="Where the files go.")
@click.option("--passphrase-fd", type=int, metavar="N", help="Read the passphrase from this descriptor.")
@click.option("--force", is_flag=True, help="Replace files that are there.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    *,
    csr: Path | None,
    zones: tuple[str, ...],
    days: int,
    out: Path,
    passphrase_fd: int | None,
    force: bool,
    as_json: bool,
) -> None:
    """Sign an intermediate that may speak for the root's zones, or for some of them, and make no CAs of its own.

    For a colleague (devtls ca import), or for a cluster's cert-manager. Needs a CA made with --keep-root-key.
    """
    keystore, now = Keystore(Paths.from_environment().state_dir), datetime.now(UTC)
    authority = keystore.load(now)
    container = required_root_key(keystore, authority)
    wanted = tuple(parse_zone(zone, is_public_suffix=is_public_suffix) for zone in zones)
    own_key = new_leaf_key() if csr is None else None
    subject_key = own_key.public_key() if own_key else key_in_request(_read(csr or Path()))
    root_key = Unlocker(WHAT, terminal_passphrases(passphrase_fd))(container)
    certificate = delegate(authority, root_key, subject_key, zones=wanted, now=now, days=days, serial=new_serial())
    handed = _Handed(certificate, own_key, wanted or authority.zones)
    names, place = handed.zones, str(out.absolute())
    Register(keystore, authority).record(
        certificate, kind="intermediate", names=names, by="ca intermediate", place=place, now=now
    )
    _show(handed, _write(handed, authority, out, force=force), as_json=as_json)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StateError(f"{path} cannot be read: {error.strerror or error}.", path=str(path)) from error


def _write(handed: _Handed, authority: Authority, directory: Path, *, force: bool) -> dict[str, Path]:
    """Write the files, the key first; returns what is where."""
    stem = f"devtls-intermediate-{handed.id}"
    files = {"certificate": directory / f"{stem}.pem"}
    if handed.key is not None:
        files = {"key": directory / f"{stem}-key.pem", **files}
    if not force:
        refuse_to_overwrite(files.values())
    private = {files["key"]: key_pem(handed.key)} if handed.key is not None else {}
    write_files(private, {files["certificate"]: handed.certificate.public_bytes(Encoding.PEM)}, force=force)
    files |= {
        "root": directory / f"devtls-root-{authority.id}.pem",
        "list": directory / f"devtls-root-{authority.id}.crl",
    }
    write_files({}, {files["root"]: authority.root_pem, files["list"]: authority.root_crl_der}, force=True)
    return files


def _show(handed: _Handed, files: dict[str, Path], *, as_json: bool) -> None:
    until = handed.certificate.not_valid_after_utc
    if as_json:
        values = {
            "id": handed.id,
            "serial": serial_text(handed.certificate.serial_number),
            "zones": list(handed.zones),
            "not_after": until.isoformat(),
            "files": {role: str(path) for role, path in files.items()},
        }
        click.echo(json.dumps(values, indent=2))
        return
    for path in files.values():
        click.echo(str(path))
    zones = ", ".join(handed.zones)
    click.echo(f"devtls intermediate {handed.id} speaks for {zones} alone, until {until:%Y-%m-%d}.", err=True)
    roles = {"--cert": "certificate", "--key": "key", "--chain": "root", "--crl": "list"}
    options = " ".join(f"{option} {shlex.quote(str(files.get(role, 'KEY')))}" for option, role in roles.items())
    click.echo(f"On the other machine: devtls ca import {options}", err=True)
    if "key" in files:
        click.echo(
            "Whoever has the key file can pose as these names: send it on a way that only its receiver can read, and\n"
            "delete it here. Better: let the receiver make the key, and certify a request (--csr).",
            err=True,
        )
