"""A CA that was made elsewhere (step-ca, Vault, AD CS, mkcert, a colleague's devtls), as the one that signs here.

Owns the reading of its files, and which port its CRLs are served at. Refuses what `pki.imported` refuses, before
anything is written; whether a CA that nothing limits is wanted is the caller's question. Where there is a CA already,
the imported one takes over as after a renewal. The CRL of a root whose key is elsewhere can be replaced later.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_pem_private_key

from devtls.errors import CertificateError, StateError, WrongPassphrase
from devtls.names import Hostname, parse_zone
from devtls.operations.context import Context
from devtls.operations.rollover import RolloverPlan, plan_rollover, tell_running
from devtls.pki.authority import Authority
from devtls.pki.ca_chain import found, identifier_of
from devtls.pki.crl_files import newer_root_crl
from devtls.pki.imported import ImportBundle, ValidatedCa, validate_import
from devtls.pki.leaf import crl_path, crl_url
from devtls.pki.profile import short_id
from devtls.pki.revocation import crl_number, load_crl
from devtls.system.machine.suffixes import is_public_suffix
from devtls.system.storage.generation import free_pki_port
from devtls.system.storage.passphrase import PassphraseSource

_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"


@dataclass(frozen=True, slots=True)
class ImportFiles:
    """The files of a CA: its certificate, its key, the certificates above it, and the CRL of its root."""

    certificate: Path
    key: Path
    chain: Path | None = None
    crl: Path | None = None


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """A CA that was checked and could be adopted; `present` is the one that signs now, if any."""

    validated: ValidatedCa
    present: Authority | None


@dataclass(frozen=True, slots=True)
class ReplacedCrl:
    """The CRL of the present CA's root after it was replaced; the CA knows whether it is revoked by it."""

    authority: Authority
    number: int

    @property
    def url(self) -> str:
        """The address at which devtls serve publishes it."""
        return crl_url(self.authority.pki_port, self.authority.root_crl_path)


def plan_import(
    context: Context, files: ImportFiles, zones: tuple[Hostname, ...], key_passphrase: PassphraseSource
) -> ImportPlan:
    """Read and check a CA for `zones`; none = those that its constraints permit.

    Raises CertificateError, StateError for a file that cannot be read, WrongPassphrase.
    """
    # An ended CA too: importing another one is a remedy for exactly that.
    present = context.keystore.load_ended_too() if context.keystore.exists() else None
    bundle = _read(files, key_passphrase)
    validated = validate_import(
        bundle,
        zones=zones,
        parse_zone=partial(parse_zone, is_public_suffix=is_public_suffix),
        now=context.now,
        pki_port=_port_of(bundle, present),
    )
    return ImportPlan(validated, present)


def adopt(context: Context, plan: ImportPlan) -> RolloverPlan | None:
    """Write the CA; returns how it takes over from the present one, None when it signs already.

    Raises Refused for the present CA itself, WrongPassphrase when that one is locked and the new one would be too.
    """
    # A CA that was locked must not be followed by one whose key lies open.
    lock = context.keystore.lock_like(plan.present) if plan.present else None
    signs = context.keystore.adopt(plan.validated.authority, context.now, lock)
    if plan.present is not None and not signs:
        return plan_rollover(context, plan.present, plan.validated.authority)
    tell_running(context)
    return None


def replace_root_crl(context: Context, file: Path) -> ReplacedCrl:
    """Publish the CRL in a file from now on, a later one of the present CA's root.

    Raises CertificateError for one of another root or an earlier one: the CRL before stays then.
    """
    content, keystore = _bytes(file), context.keystore
    authority = keystore.load(context.now)
    # Under the lock: two imports at once must not let the lower CRL number win (RFC 5280 5.2.3).
    with keystore.writing(authority):
        der = newer_root_crl(content, authority.root, keystore.root_crl(authority))
        keystore.put_root_crl(authority, der)
    # Loaded again: the new CRL may revoke the intermediate that signs here.
    return ReplacedCrl(keystore.load(context.now), crl_number(load_crl(der)))


def _read(files: ImportFiles, key_passphrase: PassphraseSource) -> ImportBundle:
    certificates = _certificates(files.certificate)
    above = _certificates(files.chain) if files.chain else []
    key = _load_key(files.key, key_passphrase)
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise CertificateError("The key is of a kind that no browser takes from a CA.", hint="ECDSA or RSA")
    # The one that signs comes first, as in the chain of TLS (RFC 8446 4.4.2).
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


def _load_key(path: Path, key_passphrase: PassphraseSource) -> object:
    content = _bytes(path)
    load = load_pem_private_key if b"-----BEGIN" in content else load_der_private_key
    try:
        return load(content, None)
    except TypeError:  # it is encrypted
        passphrase = key_passphrase.known(str(path))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CertificateError(f"{path} holds no key.", hint="PEM or DER, PKCS #8 or the older forms") from error
    try:
        return load(content, passphrase.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise WrongPassphrase(f"The passphrase does not open {path}.") from error


def _port_of(bundle: ImportBundle, present: Authority | None) -> int:
    """Return the port of 127.0.0.1 at which the intermediate says that its root's CRL is, if it is one of ours."""
    points = found(bundle.certificate, x509.CRLDistributionPoints)
    names = [name.value for point in points.value for name in point.full_name or ()] if points else []
    for root in (bundle.certificate, *bundle.others):
        path = crl_path("root", short_id(identifier_of(root)))
        for name in names:
            # The address is inside a signed certificate: it cannot be moved, so we serve at the port it names.
            port = str(name).removeprefix("http://127.0.0.1:").removesuffix(path)
            if port.isdigit() and 0 < int(port) < 65536 and name == crl_url(int(port), path):
                return int(port)
    return present.pki_port if present else free_pki_port()
