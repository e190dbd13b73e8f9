"""`devtls ca import`: sign with a CA that was made elsewhere.

Owns what a person must know before: how it differs from a CA of ours, and, loudly, when nothing limits what a thief
could do with it. Refuses to go on then without a yes of its own. Where there is a CA already, the imported one takes
over as after `devtls ca renew`: its root trusted first, the one before kept until `devtls ca retire`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import click
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_pem_private_key

from devtls.cli import printable
from devtls.cli.ca.renew import Wish, take_over
from devtls.cli.ca.rollover import Rollover, root_json, tell_running
from devtls.cli.ca.root_crl import take_list
from devtls.cli.terminal.passphrase import terminal_passphrases
from devtls.cli.terminal.prompts import ask
from devtls.errors import CertificateError, Refused, StateError, WrongPassphrase
from devtls.names import parse_zone
from devtls.pki.authority import Authority
from devtls.pki.ca_chain import found, identifier_of
from devtls.pki.imported import ImportBundle, ValidatedCa, validate_import
from devtls.pki.leaf import crl_path, crl_url
from devtls.pki.profile import short_id
from devtls.system.machine.paths import Paths
from devtls.system.machine.suffixes import is_public_suffix
from devtls.system.storage.generation import free_pki_port
from devtls.system.storage.keystore import Keystore

_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_FILE = click.Path(path_type=Path)
_EXAMPLES = """\
  devtls ca import --cert intermediate.pem --key intermediate.key --chain root.pem
  devtls ca import --cert rootCA.pem --key rootCA-key.pem         mkcert's: see mkcert -CAROOT"""


@dataclass(frozen=True, slots=True)
class _Files:
    """Where everything is that is brought along."""

    certificate: Path
    key: Path
    chain: Path | None
    crl: Path | None
    passphrase_fd: int | None


@click.command(name="import", short_help="Sign with a CA of step-ca, Vault, AD CS, mkcert or a colleague.")
@click.option("--cert", "certificate", type=_FILE, metavar="FILE", help="The certificate that signs.")
@click.option("--key", type=_FILE, metavar="FILE", help="Its key.")
@click.option("--chain", type=_FILE, metavar="FILE", help="Every certificate above it, up to the root.")
@click.option("--crl", type=_FILE, metavar="FILE", help="The root's revocation list, to be published here.")
@click.option("--zone", "zones", multiple=True, metavar="ZONE", help="Serve this zone (repeatable).")
@click.option("--unconstrained", is_flag=True, help="Take a CA that could speak for every site.")
@click.option("--passphrase-fd", type=int, metavar="N", help="Read the key's passphrase from this descriptor.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--anyway", is_flag=True, help="Switch although a store does not take its root.")
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
    """Let devtls sign with a CA that was made elsewhere; its key is copied into the CA's folder.

    Everything is checked first, and how the CA differs from one that devtls makes is said. Where there is a CA
    already, the imported one takes over, and the one before stays trusted until devtls ca retire. With --crl alone, a
    later revocation list of the present CA's root is published from now on.
    """
    if crl is not None and certificate is None and key is None:
        take_list(Keystore(Paths.from_environment().state_dir), _bytes(crl), datetime.now(UTC), as_json=as_json)
        return
    if certificate is None or key is None:
        raise click.UsageError(f"A CA is a certificate and its key:\n\n{_EXAMPLES}")
    rollover = Rollover.begin("ca import", asks=not yes)
    present = rollover.keystore.load_ended_too() if rollover.keystore.exists() else None
    brought = _read(_Files(certificate, key, chain, crl, passphrase_fd))
    parse = partial(parse_zone, is_public_suffix=is_public_suffix)
    judged = validate_import(
        brought,
        zones=tuple(parse(zone) for zone in zones),
        parse_zone=parse,
        now=rollover.now,
        pki_port=_port_of(brought, present),
    )
    _tell(judged)
    _agree(judged, yes=yes, unconstrained=unconstrained, asks=present is None)
    lock = rollover.keystore.lock_like(present) if present else None
    signs = rollover.keystore.adopt(judged.authority, rollover.now, lock)
    if present is not None and not signs:
        take_over(rollover, present, judged.authority, Wish(yes, as_json=as_json, anyway=anyway))
        return
    tell_running()
    _show(judged, as_json=as_json)


def _read(files: _Files) -> ImportBundle:
    certificates = _certificates(files.certificate)
    above = _certificates(files.chain) if files.chain else []
    key = _load_key(_bytes(files.key), files)
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise CertificateError("The key is of a kind that no browser takes from a CA.", hint="ECDSA or RSA")
    first, *others = certificates
    return ImportBundle(first, key, (*others, *above), _bytes(files.crl) if files.crl else b"")


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StateError(f"{path} cannot be read: {error.strerror or error}.", path=str(path)) from error


def _certificates(path: Path) -> list[x509.Certificate]:
    content = _bytes(path)
    try:
        if _CERTIFICATE in content:
            return x509.load_pem_x509_certificates(content)
        return [x509.load_der_x509_certificate(content)]
    except ValueError as error:
        raise CertificateError(f"{path} holds no certificate.", hint="PEM, or DER with one certificate") from error


def _load_key(content: bytes, files: _Files) -> object:
    load = load_pem_private_key if b"-----BEGIN" in content else load_der_private_key
    try:
        return load(content, None)
    except TypeError:  # it is encrypted
        passphrase = terminal_passphrases(files.passphrase_fd).known(str(files.key))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CertificateError(f"{files.key} holds no key.", hint="PEM or DER, PKCS #8 or the older forms") from error
    try:
        return load(content, passphrase.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise WrongPassphrase(f"The passphrase does not open {files.key}.") from error


def _port_of(brought: ImportBundle, present: Authority | None) -> int:
    """Return the port at which the intermediate says that its root's list is, if that is one of ours."""
    points = found(brought.certificate, x509.CRLDistributionPoints)
    names = [name.value for point in points.value for name in point.full_name or ()] if points else []
    for root in (brought.certificate, *brought.others):
        path = crl_path("root", short_id(identifier_of(root)))
        for name in names:
            port = str(name).removeprefix("http://127.0.0.1:").removesuffix(path)
            if port.isdigit() and 0 < int(port) < 65536 and name == crl_url(int(port), path):
                return int(port)
    return present.pki_port if present else free_pki_port()


def _tell(judged: ValidatedCa) -> None:
    authority = judged.authority
    click.echo(f"This CA signs for {', '.join(authority.zones)}. It differs from one that devtls makes:\n", err=True)
    for difference in judged.differences:
        click.echo(f"  * {printable(difference)}", err=True)
    if not judged.name_constrained:
        click.echo(
            click.style("\n  NOTHING LIMITS THIS CA TO DEVELOPMENT NAMES.", fg="red", bold=True)
            + "\n  Whoever copies its key from this machine can pose as any site on earth, your bank's included, to\n"
            "  everything that trusts its root. devtls itself signs for the zones alone.",
            err=True,
        )
    click.echo("", err=True)


def _agree(judged: ValidatedCa, *, yes: bool, unconstrained: bool, asks: bool) -> None:
    if judged.name_constrained or unconstrained:
        if asks and not yes:
            ask("Sign with it?")
        return
    if yes:
        raise Refused("The CA could speak for every site.", hint="--unconstrained says that you want it all the same")
    ask("Sign with it all the same?")


def _show(judged: ValidatedCa, *, as_json: bool) -> None:
    if as_json:
        values = {
            "root": root_json(judged.authority),
            "fenced": judged.name_constrained,
            "differences": list(judged.differences),
        }
        click.echo(json.dumps(values, indent=2))
        return
    click.echo(f"devtls root {judged.authority.id} signs from now on. Next: devtls trust", err=True)
