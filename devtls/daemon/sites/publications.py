"""The CRLs that a running proxy publishes: read again when a file has changed, signed anew when one is due.

Owns the memory of them. Reading a register of 10,000 lines takes a tenth of a second: too long for each request.
Refuses to remember anything that was read before a file changed: the stamps are older than what they vouch for.
"""

from __future__ import annotations

from datetime import datetime

import msgspec
from cryptography import x509

from devtls.pki.authority import Authority
from devtls.pki.intermediate import Intermediate
from devtls.pki.revocation import is_due, load_crl
from devtls.system.machine.private_files import FileStamp, stamp_of
from devtls.system.storage.ca_directory import REGISTER, crl_file
from devtls.system.storage.keystore import Keystore
from devtls.system.storage.register_file import read_history


class PublishedCrl(msgspec.Struct, frozen=True):
    """The CRL of an intermediate, and the serial numbers of what it signed."""

    der: bytes
    crl: x509.CertificateRevocationList
    issued: frozenset[str]


class Publications:
    """The CRLs of every intermediate in one state directory; every call may block, and may raise DevtlsError."""

    def __init__(self, keystore: Keystore) -> None:
        self._keystore = keystore
        self._known: dict[tuple[str, str], tuple[tuple[FileStamp, ...], PublishedCrl]] = {}

    def of(self, authority: Authority, issuer: Intermediate, now: datetime) -> PublishedCrl:
        """Return what an intermediate publishes, its CRL signed anew when that is due."""
        directory = self._keystore.directory_of(authority)
        # Before the read: a change in between makes the next stamp differ, never the content stale.
        stamps = tuple(stamp_of(directory / name) for name in (REGISTER, crl_file(issuer.name)))
        key = authority.generation, issuer.name
        known = self._known.get(key)
        if known is not None and known[0] == stamps and not is_due(known[1].crl, now):
            return known[1]
        found = self._read(authority, issuer, now)
        self._known[key] = stamps, found
        return found

    def _read(self, authority: Authority, issuer: Intermediate, now: datetime) -> PublishedCrl:
        der = self._keystore.next_crl(authority, now, issuer)
        history = read_history(self._keystore.directory_of(authority))
        return PublishedCrl(der, load_crl(der), authority.serials_of(issuer, history) & history.issued.keys())
