"""The CA of this machine: its details, and its public parts as files for other programs.

Owns which certificates and CRLs are exported in which format. Refuses to export a private key: there is no option for
it (`ca_keys` exports the root's, encrypted).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from devtls.operations.context import Context
from devtls.pki.apple_profile import apple_profile
from devtls.pki.authority import Authority
from devtls.pki.names_in_certificates import Kind
from devtls.system.storage.ca_directory import ROOT_KEY, key_file
from devtls.system.storage.generation import is_locked_file
from devtls.system.storage.pointer import PointerEntry

PublicPart = Literal["root", "intermediate", "chain", "crl", "mobileconfig"]
"""What can be exported: a certificate, both in one file, the CRLs, or the root as a profile for Apple's devices."""


@dataclass(frozen=True, slots=True)
class CaDetails:
    """The CA that signs, its files, and the earlier CAs that are still trusted."""

    authority: Authority
    directory: Path
    older: tuple[PointerEntry, ...]
    root_key_kept: bool
    locked: bool
    """A key of the intermediates needs a passphrase."""

    @property
    def page(self) -> str:
        """The address of the page with the root, while devtls serve runs."""
        return f"http://127.0.0.1:{self.authority.pki_port}/"


def ca_details(context: Context) -> CaDetails:
    """Return the details of the CA. Raises what `Keystore.load` raises."""
    keystore = context.keystore
    authority = keystore.load(context.now)
    directory, pointer = keystore.directory_of(authority), keystore.pointer()
    return CaDetails(
        authority,
        directory,
        pointer.older if pointer else (),
        # The file alone is asked, never the key: details must need no passphrase.
        root_key_kept=(directory / ROOT_KEY).exists(),
        locked=any(is_locked_file(directory / key_file(each.name)) for each in authority.intermediates),
    )


def export_ca(context: Context, part: PublicPart, encoding: Encoding = Encoding.PEM, kind: Kind = "server") -> bytes:
    """Return a public part of the CA; only a single certificate can be DER. `kind` chooses the intermediate.

    Raises what `Keystore.load` raises, and CertificateError for a kind that the CA does not sign.
    """
    authority = context.keystore.load(context.now)
    match part:
        case "mobileconfig":
            return apple_profile(authority.root_der, authority.id)
        case "crl":
            return _crls(context, authority)
        case "chain":
            return b"".join(each.public_bytes(Encoding.PEM) for each in authority.path_of(authority.issuer_for(kind)))
        case "intermediate":
            return authority.issuer_for(kind).certificate.public_bytes(encoding)
        case "root":
            return authority.root.public_bytes(encoding)


def _crls(context: Context, authority: Authority) -> bytes:
    """Return the CRLs of every CA that is trusted, signed anew where that is due, as PEM."""
    # Leaves of a CA before stay valid until it is retired, so their verifiers need its CRLs as well.
    authorities = (authority, *context.keystore.load_older(context.now))
    keystore, now = context.keystore, context.now
    found = (
        der
        for each in authorities
        for der in (*(keystore.next_crl(each, now, issuer) for issuer in each.intermediates), each.root_crl_der)
    )
    # A root whose CRL is published elsewhere has none here: an imported CA.
    return b"".join(x509.load_der_x509_crl(der).public_bytes(Encoding.PEM) for der in found if der)
