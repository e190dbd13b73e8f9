"""The register of a CA on disk, and the one way to a certificate that leaves the process.

Owns `register.jsonl` in the CA's folder. Refuses to hand out a certificate before its line is on disk, and writes to a
register of a CA that was replaced.
Strategy: lines are only ever added, one write and one fsync each, under the key store's lock. A crash leaves a line
whole or unfinished; an unfinished one never counted, since nobody had got the certificate yet, and the next writer
cuts it off.
"""

from __future__ import annotations

import os
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from devtls.pki.authority import Authority
from devtls.pki.certify import Order, certify
from devtls.pki.register import Event, History, Issued, Maker, parse_register, render_event, serial_text, whole_lines
from devtls.system.keystore import Keystore, new_serial
from devtls.system.private_files import append_private_file, read_private_file

REGISTER = "register.jsonl"


class Register:
    """The register of one CA; every call may block, and may raise StateError."""

    def __init__(self, keystore: Keystore, authority: Authority) -> None:
        self._keystore = keystore
        self._authority = authority

    @property
    def path(self) -> Path:
        """Where it is, or will be."""
        return self._keystore.folder_of(self._authority) / REGISTER

    def history(self) -> History:
        """Return all that it says."""
        return read_history(self.path.parent)

    def issue(
        self, order: Order, key: CertificatePublicKeyTypes, *, by: Maker, place: str, now: datetime
    ) -> x509.Certificate:
        """Sign a certificate and record it; `place` is where it will go. Raises CertificateError as `certify` does."""
        certificate = certify(self._authority, order, key, now=now, serial=new_serial())
        with self._keystore.writing(self._authority) as folder:
            append_event(folder, _issued(order, certificate, by, place, now))
        return certificate


def _issued(order: Order, certificate: x509.Certificate, by: Maker, place: str, now: datetime) -> Issued:
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Issued(
        serial=serial_text(certificate.serial_number),
        at=now.replace(microsecond=0),
        by=by,
        kind=order.kind,
        names=tuple(str(name) for name in order.names),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        key_sha256=sha256(key).hexdigest(),
        sha256=certificate.fingerprint(SHA256()).hex(),
        place=place,
    )


def read_history(folder: Path) -> History:
    """Return what the register in a CA's folder says; one that is not there yet says nothing."""
    path = folder / REGISTER
    try:
        return parse_register(read_private_file(path), str(path))
    except FileNotFoundError:
        return History()


def append_event(folder: Path, event: Event) -> None:
    """Add a line and put it on disk; whoever calls holds the key store's lock."""
    path = folder / REGISTER
    try:
        content = read_private_file(path)
    except FileNotFoundError:
        content = b""
    parse_register(content, str(path))  # a later devtls's register is not ours to write to
    if whole_lines(content) < len(content):
        os.truncate(path, whole_lines(content))
    append_private_file(path, render_event(event))
