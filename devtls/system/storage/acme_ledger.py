"""The accounts and orders of the ACME server on disk.

Owns `acme.json` in the state directory (0600, replaced in one step) and a lock of its own, so that two proxies of one
user share one ledger. Refuses what `acme.model` cannot read.
Strategy: everything happens between opening and closing the ledger, under the lock; it is written only if something
changed, and read again only if somebody else wrote it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devtls.acme.model import Ledger, parse_ledger, render_ledger
from devtls.errors import StateError
from devtls.system.machine.private_files import (
    ensure_private_directory,
    locked,
    read_private_file,
    replace_private_file,
)

_FILE = "acme.json"
_LOCK = "acme.lock"


class LedgerFile:
    """The ledger in one state directory; opening it may block."""

    def __init__(self, state_dir: Path) -> None:
        self.path = state_dir / _FILE
        self._lock = state_dir / _LOCK
        self._ledger = Ledger()
        self._content = b""

    @contextmanager
    def opened(self) -> Iterator[Ledger]:
        """Give the ledger as it is on disk; what was changed in it is on disk at the end. Raises StateError.

        An error inside leaves the disk as it was.
        """
        try:
            ensure_private_directory(self.path.parent)
            with locked(self._lock):
                self._read()
                try:
                    yield self._ledger
                    self._write()
                except BaseException:
                    self._ledger, self._content = Ledger(), b""  # what was in memory is not what is on disk
                    raise
        except OSError as error:
            raise StateError(
                f"{self.path} cannot be used: {error.strerror or error}.",
                path=str(self.path),
                hint="check who owns the folder and whether the disk is full",
            ) from error

    def _read(self) -> None:
        try:
            content = read_private_file(self.path)
        except FileNotFoundError:
            content = b""
        # Another proxy of this user wrote it; otherwise what was parsed last time holds.
        if content != self._content:
            self._ledger = parse_ledger(content, str(self.path)) if content else Ledger()
            self._content = content

    def _write(self) -> None:
        content = render_ledger(self._ledger)
        # No file is made for a ledger that holds nothing.
        if content != self._content and (self._content or self._ledger != Ledger()):
            replace_private_file(self.path, content)
            self._content = content
