"""The register of a CA on disk: issuing certificates for other servers, and revoking them.

Owns the order of the steps: a certificate is handed out after its line is on disk, a revocation is a line first and on
the CRL then, both under the key store's lock. Refuses to release a revocation that is no hold, and to write for a CA
that was replaced.
Strategy: a crash between line and CRL is repaired when the next CRL is asked for. The root's CRL waits for the holder
of its key, who gives the same command again; `unpublished` tells which.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from devtls.errors import Refused
from devtls.pki.authority import Authority
from devtls.pki.certify import CertificateTemplate, certify
from devtls.pki.register import (
    History,
    Issued,
    Maker,
    RecordedKind,
    Released,
    RevocationReason,
    Revoked,
    serial_text,
)
from devtls.pki.revocation import crl_number, entries_for, load_crl, says_the_same
from devtls.system.machine.private_files import read_private_file
from devtls.system.machine.randomness import new_serial
from devtls.system.storage.ca_directory import REGISTER, crl_file
from devtls.system.storage.keystore import Keystore
from devtls.system.storage.locked_key import LockedKey
from devtls.system.storage.register_file import append_event, append_events, current_crl, read_history

if TYPE_CHECKING:
    from devtls.pki.intermediate import Intermediate
    from devtls.pki.signature import IssuerKey


def open_registers(keystore: Keystore, now: datetime) -> tuple[Register, ...]:
    """Return the register of the CA that signs, and of the older ones whose certificates still count.

    Raises what `Keystore.load` raises.
    """
    return tuple(Register(keystore, each) for each in (keystore.load(now), *keystore.load_older(now)))


class Register:
    """The register of one CA; every call may block, and may raise StateError."""

    def __init__(self, keystore: Keystore, authority: Authority) -> None:
        self._keystore = keystore
        self.authority = authority

    @property
    def path(self) -> Path:
        """Where it is, or will be."""
        return self._keystore.directory_of(self.authority) / REGISTER

    def root_key_container(self) -> bytes | None:
        """Return the container of the root's key; None for a CA whose root's key is not here."""
        kept = self._keystore.root_key_file(self.authority)
        return read_private_file(kept) if kept else None

    def history(self) -> History:
        """Return its content."""
        return read_history(self.path.parent)

    def issue(
        self, template: CertificateTemplate, key: CertificatePublicKeyTypes, *, by: Maker, place: str, now: datetime
    ) -> x509.Certificate:
        """Sign a certificate and record it; `place` is where it will go. Raises CertificateError as `certify` does."""
        certificate = certify(self.authority, template, key, now=now, serial=new_serial())
        names = tuple(str(name) for name in template.names)
        issuer = self.authority.issuer_for(template.kind).name
        self.record(certificate, kind=template.kind, names=names, by=by, place=place, now=now, issuer=issuer)
        return certificate

    def record(
        self,
        certificate: x509.Certificate,
        *,
        kind: RecordedKind,
        names: tuple[str, ...],
        by: Maker,
        place: str,
        now: datetime,
        issuer: str = "",
    ) -> None:
        """Note a certificate that was signed and has not gone anywhere yet; `issuer` as for `Issued`."""
        key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        event = Issued(
            serial=serial_text(certificate.serial_number),
            at=now.replace(microsecond=0),
            by=by,
            kind=kind,
            names=names,
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
            key_sha256=sha256(key).hexdigest(),
            sha256=certificate.fingerprint(SHA256()).hex(),
            place=place.encode("utf-8", "backslashreplace").decode(),  # a directory's name may be any bytes
            issuer=issuer,
        )
        with self._keystore.writing(self.authority) as directory:
            append_event(directory, event)

    def published_crl(self, *, of_root: bool = False, issuer: Intermediate | None = None) -> bytes:
        """Return the CRL (DER) that was signed last: the root's, or an intermediate's (None = that for servers)."""
        if of_root:
            return self._keystore.root_crl(self.authority)
        return read_private_file(self.path.with_name(crl_file((issuer or self.authority.intermediate).name)))

    def unpublished(self) -> dict[str, str]:
        """Return serial -> the command to give again, of intermediates that a crash kept from the root's CRL."""
        history, der = self.history(), self._keystore.root_crl(self.authority)
        if not der or not history.intermediates:
            return {}
        listed = {serial_text(entry.serial_number) for entry in load_crl(der)}
        differing = (listed ^ history.revoked.keys()) & history.intermediates
        return {serial: "revoke" if serial in history.revoked else "unrevoke" for serial in sorted(differing)}

    def revoke(
        self,
        serials: Iterable[str],
        reason: RevocationReason,
        now: datetime,
        *,
        root_key: IssuerKey | None = None,
        issuers: Mapping[str, str] = MappingProxyType({}),
    ) -> tuple[str, ...]:
        """Revoke certificates and publish that; returns those that were not revoked before, or only held.

        `issuers`: the names of the intermediates that signed them, where the register may not say it. With `root_key`
        they are intermediates, and the CRL is the root's. Raises CertificateError for another key.
        """
        publish = self._publisher(root_key)
        with self._keystore.writing(self.authority) as directory:
            present = read_history(directory).revoked
            fresh = tuple(serial for serial in dict.fromkeys(serials) if _can_follow(present.get(serial), reason))
            at = now.replace(microsecond=0)
            events = (Revoked(serial=one, at=at, reason=reason, issuer=issuers.get(one, "")) for one in fresh)
            append_events(directory, events)
            publish(directory, now)
        return fresh

    def release(self, serials: Iterable[str], now: datetime, *, root_key: IssuerKey | None = None) -> tuple[str, ...]:
        """Release holds, publish that and return them. Raises Refused, and releases none, when one is no hold."""
        publish = self._publisher(root_key)
        with self._keystore.writing(self.authority) as directory:
            present, at = read_history(directory).revoked, now.replace(microsecond=0)
            wanted = tuple(dict.fromkeys(serials))
            begun = [] if root_key is None else [one for one, verb in self.unpublished().items() if verb == "unrevoke"]
            fresh = [serial for serial in wanted if serial not in begun]
            for serial in fresh:
                _check_hold(serial, present.get(serial))
            append_events(directory, [Released(serial=serial, at=at) for serial in fresh])
            publish(directory, now)
        return wanted

    def _publisher(self, root_key: IssuerKey | None) -> Callable[[Path, datetime], object]:
        """Return the function that signs the CRL; it asks for a passphrase now, before the lock is held."""
        if root_key is not None:
            self.authority.check_root_key(root_key)
            return partial(self._publish_root_crl, root_key)
        for each in self.authority.intermediates:
            if isinstance(each.key, LockedKey):
                # A person may take minutes to type it, and the lock's waiters give up after ten seconds.
                each.key.open()
        return self._publish_crls

    def _publish_crls(self, directory: Path, now: datetime) -> None:
        """Sign the intermediates' CRLs anew where the register says more than they; the caller holds the lock."""
        for each in self.authority.intermediates:
            current_crl(directory, self.authority, each, now)

    def _publish_root_crl(self, root_key: IssuerKey, directory: Path, now: datetime) -> None:
        """Sign the root's CRL anew when the register says more than it; the caller holds the key store's lock."""
        der = self._keystore.root_crl(self.authority)
        last, history = load_crl(der), read_history(directory)
        if not says_the_same(last, history, history.intermediates):
            number, entries = crl_number(last) + 1, entries_for(history, last, history.intermediates)
            der = self.authority.root_crl(root_key, number=number, this_update=now, revoked=entries)
        self._keystore.put_root_crl(self.authority, der)  # one that is there already, too: a crash left it unsealed


def _can_follow(present: Revoked | None, reason: RevocationReason) -> bool:
    return present is None or (present.reason == "hold" and reason != "hold")


def _check_hold(serial: str, present: Revoked | None) -> None:
    if present is None:
        raise Refused(f"The certificate {serial} is not revoked.", hint="devtls certs list")
    if present.reason != "hold":
        raise Refused(
            f"The certificate {serial} is revoked for good ({present.reason}): only a hold can be released.",
            hint="devtls cert makes a new one",
        )
