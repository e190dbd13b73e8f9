"""The record of what `devtls setup` did to this machine, so that it can be taken back after upgrades and crashes.

Owns one JSON file in the state folder, with a format version: the measures that were taken, each with what was there
before, and the names that were asked for. Refuses a newer format. Strategy: an entry is written before the machine is
changed and dropped after the measure was seen gone, so a crash leaves an entry too many, never one too few. What was
there before the first time counts: a second run finds our own work there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devtls.errors import InvalidName, StateError
from devtls.names import parse_hostname
from devtls.system.changes.change import PreviousState
from devtls.system.machine.execute import write_atomically

FORMAT = 1
FILE_NAME = "setup.json"


@dataclass(frozen=True, slots=True)
class Taken:
    """One measure that was taken, or begun, by its name."""

    name: str
    previous_state: PreviousState


@dataclass(frozen=True, slots=True)
class _Content:
    changes: tuple[Taken, ...] = ()
    hostnames: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SetupRecord:
    """The file in `folder`; each change reads and rewrites it whole. All raise StateError."""

    directory: Path

    @property
    def path(self) -> Path:
        """The file."""
        return self.directory / FILE_NAME

    def entries(self) -> tuple[Taken, ...]:
        """Return the measures, in the order in which they were taken."""
        return self._read().changes

    def hostnames(self) -> tuple[str, ...]:
        """Return the names that were asked for so far."""
        return self._read().hostnames

    def previous_state_of(self, name: str) -> PreviousState | None:
        """Return what was there before a measure; None for one that is not recorded."""
        return next((entry.previous_state for entry in self.entries() if entry.name == name), None)

    def add(self, name: str, previous_state: PreviousState) -> None:
        """Note a measure that is about to be taken; of one that is there already the first keepsake stays."""
        content = self._read()
        if all(entry.name != name for entry in content.changes):
            self._write(_Content((*content.changes, Taken(name, dict(previous_state))), content.hostnames))

    def drop(self, name: str) -> None:
        """Forget a measure that is gone."""
        content = self._read()
        kept = tuple(entry for entry in content.changes if entry.name != name)
        if kept != content.changes:
            self._write(_Content(kept, content.hostnames))

    def remember_hostnames(self, names: Iterable[str]) -> None:
        """Put these names in the place of those that were remembered."""
        content, wanted = self._read(), tuple(sorted(frozenset(names)))
        if wanted != content.hostnames:
            self._write(_Content(content.changes, wanted))

    def _read(self) -> _Content:
        try:
            data: Any = json.loads(self.path.read_text("utf-8"))
            if data["format"] > FORMAT:
                raise StateError(
                    f"{self.path} was written by a newer devtls.", path=str(self.path), hint="Upgrade devtls."
                )
            return _Content(
                tuple(Taken(_text(each["name"]), _texts(each["keepsake"])) for each in data["measures"]),
                tuple(parse_hostname(_text(name)) for name in data["hostnames"]),
            )
        except (FileNotFoundError, NotADirectoryError):
            return _Content()
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, InvalidName) as error:
            raise StateError(
                f"{self.path} cannot be read.",
                path=str(self.path),
                hint="Remove the file and run devtls unsetup: it then searches the machine for what devtls marked.",
            ) from error

    def _write(self, content: _Content) -> None:
        changes = [{"name": each.name, "keepsake": dict(each.previous_state)} for each in content.changes]
        data = {"format": FORMAT, "hostnames": list(content.hostnames), "measures": changes}
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomically(self.path, (json.dumps(data, indent=2) + "\n").encode(), 0o600)
        except OSError as error:
            raise StateError(
                f"{self.path} cannot be written: {error.strerror or error}.",
                path=str(self.path),
                hint="check who owns the folder and whether the disk is full",
            ) from error


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _texts(values: dict[str, object]) -> PreviousState:
    return {_text(name): _text(value) for name, value in values.items()}
