"""What a running proxy knows of revoked certificates: read anew when the register on disk has changed.

Owns the serial numbers that are revoked now. Refuses to read anything while the register is as it was: a look is two
calls of stat. Whoever finds the register ahead of the list (a crash in between) signs the list; X.509 is loaded only
then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from devtls.daemon.log import Log
from devtls.errors import DevtlsError, StateError
from devtls.pki.leaf import Signer
from devtls.system.keystore import CRL, REGISTER, Keystore

_Stamp = tuple[int, ...]


class Revocations:
    """The revoked serial numbers of the CA that `authority` gives."""

    def __init__(self, keystore: Keystore, authority: Callable[[], Signer], log: Log) -> None:
        self._keystore = keystore
        self._authority = authority
        self._log = log
        self._seen: tuple[str, _Stamp] | None = None
        self.serials: frozenset[int] = frozenset()

    def is_revoked(self, serial: int) -> bool:
        """Say whether a certificate was revoked, as far as `look` or `read` has seen."""
        return serial in self.serials

    async def look(self) -> frozenset[int]:
        """Take over what changed on disk, and return what is revoked. Trouble is said once and changes nothing."""
        try:
            await asyncio.to_thread(self.read)
        except DevtlsError as error:
            self._log.report(f"the register of certificates cannot be read: {error}")
        return self.serials

    def read(self) -> None:
        """Do the same and block. Raises DevtlsError."""
        signer = self._authority()
        folder = self._keystore.state_dir / f"ca-{signer.id}"
        if (
            self._seen == (signer.id, _stamp(folder)) or not folder.is_dir()
        ):  # the CA was replaced: news of another kind
            return
        if not (folder / REGISTER).exists():  # nothing was ever issued or revoked
            self.serials, self._seen = frozenset(), (signer.id, _stamp(folder))
            return
        self._read_list(signer)
        self._seen = signer.id, _stamp(folder)

    def _read_list(self, signer: Signer) -> None:
        from devtls.pki.revocation import load_crl

        now = datetime.now(UTC)
        authority = self._keystore.load(now)
        if authority.fingerprint != signer.fingerprint:
            raise StateError("The CA was replaced.", hint="devtls serve takes the new one over in a moment")
        self.serials = frozenset(entry.serial_number for entry in load_crl(self._keystore.next_crl(authority, now)))


def _stamp(folder: Path) -> _Stamp:
    found: list[int] = []
    for name in (REGISTER, CRL):
        try:
            status = (folder / name).stat()
        except OSError:
            found += (0, 0, 0)
        else:
            found += (status.st_mtime_ns, status.st_size, status.st_ino)
    return tuple(found)
