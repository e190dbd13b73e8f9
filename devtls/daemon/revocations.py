"""The revoked serial numbers that a running proxy knows: read anew when a register on disk has changed.

Owns the serial numbers that are revoked now, of the CA that signs and of the older ones that are still trusted. Refuses
to read anything while the registers are as they were: a look is a few calls of stat. A register that is ahead
of its CRL (a crash in between) has the CRL signed. Imported after the start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from cryptography.x509 import CertificateRevocationList

from devtls.daemon.console.log import Log
from devtls.errors import DevtlsError
from devtls.pki.authority import Authority
from devtls.pki.leaf import Signer
from devtls.pki.revocation import load_crl
from devtls.system.machine.private_files import FileStamp, stamp_of
from devtls.system.storage.ca_directory import CRL, REGISTER
from devtls.system.storage.keystore import Keystore


class Revocations:
    """The revoked serial numbers, as long as the CA on disk is the one that `authority` gives."""

    def __init__(self, keystore: Keystore, authority: Callable[[], Signer], log: Log) -> None:
        self._keystore = keystore
        self._authority = authority
        self._log = log
        self._seen: tuple[FileStamp, ...] = ()
        self.serials: frozenset[int] = frozenset()

    async def look(self) -> frozenset[int]:
        """Take over what changed on disk, and return what is revoked. Trouble is said once and changes nothing."""
        try:
            await asyncio.to_thread(self.read)
        except DevtlsError as error:
            self._log.report(f"the register of certificates cannot be read: {error}")
        return self.serials

    def read(self) -> None:
        """Do the same and block. Raises DevtlsError."""
        pointer = self._keystore.pointer()
        if pointer is None or pointer.root_sha256 != self._authority().fingerprint:
            return  # the CA was replaced: `StateWatch` reports that
        directories = [self._keystore.state_dir / entry.generation for entry in (pointer.current, *pointer.older)]
        # Register and CRL: a revocation changes the first, and another process may sign the second.
        if self._seen == _stamps(directories):
            return
        if any((directory / REGISTER).exists() for directory in directories):
            self._read_crls()
        else:  # nothing was ever issued or revoked
            self.serials = frozenset()
        # Only at the end: after a failure the next look has to try again.
        self._seen = _stamps(directories)

    def _read_crls(self) -> None:
        now = datetime.now(UTC)
        crls = list(self._crls_of(self._keystore.load(now), now))
        for older in self._keystore.load_older(now):
            with suppress(DevtlsError):  # its key is locked, or it was retired a moment ago
                crls += self._crls_of(older, now)
        self.serials = frozenset(entry.serial_number for crl in crls for entry in crl)

    def _crls_of(self, authority: Authority, now: datetime) -> Iterator[CertificateRevocationList]:
        # All of them: a crash may have kept a revocation from any, and they are signed anew by that.
        for issuer in authority.intermediates:
            yield load_crl(self._keystore.next_crl(authority, now, issuer))


def _stamps(directories: Iterable[Path]) -> tuple[FileStamp, ...]:
    return tuple(stamp_of(directory / name) for directory in directories for name in (REGISTER, CRL))
