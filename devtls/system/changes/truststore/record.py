"""The record of what was installed where, so that untrust works after the CA is gone and after upgrades.

Owns one JSON file in the state folder, with a format version. Refuses a newer format. Strategy: an entry is written
before a store is changed and removed after the store was seen without the root, so a crash leaves an entry too many,
never one too few.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from devtls.errors import StateError
from devtls.system.machine.execute import write_atomically

FORMAT = 1
_NAME = "trusted.json"


@dataclass(frozen=True, slots=True)
class Installed:
    """One root in one store: `store` is the store's name, `id` the root's."""

    store: str
    fingerprint: str
    id: str


@dataclass(frozen=True, slots=True)
class Record:
    """The file in `folder`; each change reads and rewrites it whole."""

    directory: Path

    @property
    def path(self) -> Path:
        """The file."""
        return self.directory / _NAME

    def exists(self) -> bool:
        """Whether anything was ever recorded."""
        return self.path.is_file()

    def entries(self) -> tuple[Installed, ...]:
        """Return what is recorded; StateError for a file of a newer format or one that is damaged."""
        try:
            text = self.path.read_text("utf-8")
        except (FileNotFoundError, NotADirectoryError):
            return ()
        except (OSError, UnicodeDecodeError) as error:
            raise self._damaged() from error
        try:
            data: Any = json.loads(text)
            if data["format"] > FORMAT:
                raise StateError(
                    f"{self.path} was written by a newer devtls.", path=str(self.path), hint="Upgrade devtls."
                )
            return tuple(Installed(str(e["store"]), str(e["fingerprint"]), str(e["id"])) for e in data["installed"])
        except (ValueError, KeyError, TypeError) as error:
            raise self._damaged() from error

    def _damaged(self) -> StateError:
        return StateError(
            f"{self.path} cannot be read.",
            path=str(self.path),
            hint="Remove the file and run devtls untrust: it then searches the stores for roots of devtls.",
        )

    def add(self, entry: Installed) -> None:
        """Note one root in one store."""
        if entry not in self.entries():
            self._write((*self.entries(), entry))

    def drop(self, store: str, fingerprints: Iterable[str]) -> None:
        """Forget these roots in one store."""
        gone = frozenset(fingerprints)
        kept = tuple(entry for entry in self.entries() if entry.store != store or entry.fingerprint not in gone)
        if kept != self.entries():
            self._write(kept)

    def begin(self) -> None:
        """Make the file where there is none: from then on it says that nothing is installed."""
        if not self.exists():
            self._write(())

    def _write(self, entries: tuple[Installed, ...]) -> None:
        data = {"format": FORMAT, "installed": [asdict(entry) for entry in entries]}
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(self.path, (json.dumps(data, indent=2) + "\n").encode(), 0o600)
