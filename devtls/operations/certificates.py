"""Certificates that leave the process as files: for a key that is made here, or for a certificate request.

Owns the order: everything is checked first, then the certificate is signed and recorded, then it is written. Refuses
names outside the CA's zones, weak keys, and to overwrite files unless that was asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from devtls.operations.context import Context
from devtls.pki.certify import CertificateTemplate, check_days, check_key
from devtls.pki.leaf import PROFILE
from devtls.pki.names_in_certificates import Kind, parse_names
from devtls.pki.request import CertificateRequest
from devtls.system.storage.certificate_files import (
    chain_file,
    file_stem,
    key_file,
    new_certificate_key,
    pkcs12_file,
    refuse_to_overwrite,
    write_files,
)
from devtls.system.storage.passphrase import PassphraseSource
from devtls.system.storage.register import Register


@dataclass(frozen=True, slots=True)
class CertificateOptions:
    """What the requester of a certificate chooses besides its names; `fullchain` adds the root to the chain."""

    kind: Kind = "server"
    days: int = PROFILE.leaf_lifetime.days
    ocsp: bool = False
    """The certificate names the OCSP responder."""
    fullchain: bool = False


@dataclass(frozen=True, slots=True)
class KeyAndFiles:
    """The key that is made, `ecdsa` or `rsa`, and where it goes: two PEM files, or one PKCS #12 file."""

    directory: Path
    key_type: str = "ecdsa"
    pkcs12: PassphraseSource | None = None
    """Where the passphrase of the PKCS #12 file comes from; None = two PEM files."""
    force: bool = False


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A certificate that was signed and recorded, its chain as PEM, and its files by role: pkcs12, key, certificate."""

    template: CertificateTemplate
    certificate: x509.Certificate
    chain_pem: bytes
    files: dict[str, Path]


def issue_certificate(
    context: Context, names: Iterable[str], options: CertificateOptions, wanted: KeyAndFiles
) -> IssuedCertificate:
    """Make a key and a certificate for `names`, and write both. Raises DevtlsError."""
    register, template = _prepare(context, names, options)
    # Every refusal and question comes before the key and the signature: what is signed is recorded for good.
    files = _files(wanted, template)
    if not wanted.force:
        refuse_to_overwrite(files.values())
    passphrase = wanted.pkcs12.new(files["pkcs12"].name).encode() if wanted.pkcs12 else b""
    key = new_certificate_key(wanted.key_type)
    place = files["pkcs12" if wanted.pkcs12 else "certificate"]
    # Recorded before it is written: a certificate whose file exists can always be revoked.
    leaf = register.issue(template, key.public_key(), by="cert", place=str(place), now=context.now)
    chain = _chain(register, leaf, options)
    if wanted.pkcs12:
        content = pkcs12_file(key, chain, str(template.names[0]), passphrase)
        write_files({files["pkcs12"]: content}, {}, force=wanted.force)
    else:
        write_files({files["key"]: key_file(key)}, {files["certificate"]: chain_file(chain)}, force=wanted.force)
    return IssuedCertificate(template, leaf, chain_file(chain), files)


def sign_request(
    context: Context,
    request: CertificateRequest,
    options: CertificateOptions,
    out: Path | None = None,
    *,
    force: bool = False,
) -> IssuedCertificate:
    """Sign the names and the key of a request; the result goes to `out`, or to the caller. Raises DevtlsError."""
    # The requester's key is a stranger's choice; ours is made by us and needs no check.
    check_key(request.key)
    register, template = _prepare(context, request.names, options)
    if out is not None and not force:
        refuse_to_overwrite([out])
    if request.left_out:
        left = "; ".join(request.left_out)
        context.reporter.info(f"Not taken from the request: {left}. Only its names and its key count.")
    place = "standard output" if out is None else str(out)
    leaf = register.issue(template, request.key, by="sign", place=place, now=context.now)
    content = chain_file(_chain(register, leaf, options))
    if out is not None:
        write_files({}, {out: content}, force=force)
    return IssuedCertificate(template, leaf, content, {} if out is None else {"certificate": out})


def _prepare(
    context: Context, names: Iterable[str], options: CertificateOptions
) -> tuple[Register, CertificateTemplate]:
    check_days(options.days)
    authority = context.keystore.load(context.now)
    checked = parse_names(names, authority.zones, options.kind)
    return Register(context.keystore, authority), CertificateTemplate(checked, options.kind, options.days, options.ocsp)


def _files(wanted: KeyAndFiles, template: CertificateTemplate) -> dict[str, Path]:
    stem = wanted.directory.absolute() / file_stem(template.names[0])
    if wanted.pkcs12:
        return {"pkcs12": stem.with_name(f"{stem.name}.p12")}
    return {"key": stem.with_name(f"{stem.name}-key.pem"), "certificate": stem.with_name(f"{stem.name}.pem")}


def _chain(register: Register, leaf: x509.Certificate, options: CertificateOptions) -> list[x509.Certificate]:
    """Return what goes into the file: no client needs the root from a server."""
    above = register.authority.path_of(register.authority.issuer_for(options.kind))
    # A verifier has the trust anchor already, so the chain may leave it out (RFC 8446 4.4.2).
    return [leaf, *(above if options.fullchain else above[:-1])]
