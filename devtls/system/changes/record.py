"""The record of every change to this machine, so that it can be reverted after upgrades, crashes and the CA's end.

Owns one JSON file in the state directory, with a format version: the changes that were applied, each with what its
revert has to know, and the names that were asked for. Refuses a newer format. Strategy: an entry is written before the
machine is changed and dropped after the revert was verified, so a crash leaves an entry too many, never one too few.

Format 1 was two files, `trusted.json` and `setup.json`. They are read beside this one, always before it, and removed
after it was written whole: at every moment the files together say all that they said before, and a reader in the middle
of it finds each entry in one of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from devtls.errors import InvalidName, StateError
from devtls.names import parse_hostname
from devtls.system.changes.change import SETUP_PARTS, Part, PreviousState
from devtls.system.machine.execute import write_atomically
from devtls.system.machine.private_files import locked, sync_directory

FORMAT = 2
FILE_NAME = "changes.json"
LOCK_NAME = "changes.lock"
OLD_FORMAT = 1
OLD_TRUST_FILE = "trusted.json"
OLD_SETUP_FILE = "setup.json"

_SEARCH_EVERYTHING = (
    "Remove the file, then run devtls untrust and devtls unsetup: they search the machine for marks of devtls."
)
_SEARCH_STORES = "Remove the file and run devtls untrust: it then searches the stores for roots of devtls."
_SEARCH_MACHINE = "Remove the file and run devtls unsetup: it then searches the machine for what devtls marked."


@dataclass(frozen=True, slots=True)
class AppliedChange:
    """One change that was applied, or begun, by its part and name."""

    part: Part
    name: str
    previous_state: PreviousState


@dataclass(frozen=True, slots=True)
class Installed:
    """One root in one trust store: `store` is the store's name, `id` the root's."""

    store: str
    fingerprint: str
    id: str


@dataclass(frozen=True, slots=True)
class _Content:
    """`knows_roots` is False until trust was recorded once, also trust that is reverted since."""

    changes: tuple[AppliedChange, ...] = ()
    hostnames: tuple[str, ...] = ()
    knows_roots: bool = False


@dataclass(frozen=True, slots=True)
class ChangeRecord:
    """The file in `directory`; each change reads and rewrites it whole. All but `knows_roots` raise StateError."""

    directory: Path

    @property
    def path(self) -> Path:
        """The file."""
        return self.directory / FILE_NAME

    @property
    def paths(self) -> tuple[Path, ...]:
        """The file, and those of an older devtls that say the same."""
        return (self.path, self.directory / OLD_TRUST_FILE, self.directory / OLD_SETUP_FILE)

    def entries(self, *parts: Part) -> tuple[AppliedChange, ...]:
        """Return the changes of these parts, without any of all, in the order in which they were applied."""
        return tuple(entry for entry in self._read().changes if not parts or entry.part in parts)

    def installed(self) -> tuple[Installed, ...]:
        """Return every root in every trust store."""
        stores = self.entries(Part.TRUST)
        return tuple(
            Installed(store.name, sha256, number) for store in stores for sha256, number in store.previous_state.items()
        )

    def hostnames(self) -> tuple[str, ...]:
        """Return the names that were asked for so far."""
        return self._read().hostnames

    def knows_roots(self) -> bool:
        """Whether the record says which stores hold a root; a damaged file may. Otherwise it never heard of any."""
        try:
            return self._read().knows_roots
        except StateError:
            return True

    def previous_state_of(self, part: Part, name: str) -> PreviousState | None:
        """Return what the revert of a change has to know; None for one that is not recorded."""
        return next((entry.previous_state for entry in self.entries(part) if entry.name == name), None)

    def add(self, change: AppliedChange) -> None:
        """Note a change that is about to be applied.

        One that is noted already keeps its first previous state; a trust store adds the roots to those that it got
        before.
        """
        self._update(lambda content: _with(content, change))

    def drop(self, part: Part, name: str, roots: Iterable[str] | None = None) -> None:
        """Forget a change that was reverted; of a trust store only `roots`, when they are given."""
        gone = frozenset(roots) if roots is not None and part is Part.TRUST else None
        self._update(lambda content: _without(content, part, name, gone))

    def remember_hostnames(self, names: Iterable[str]) -> None:
        """Put these names in the place of those that were remembered."""
        wanted = tuple(sorted(frozenset(names)))
        self._update(lambda content: replace(content, hostnames=wanted))

    def begin_trust(self) -> None:
        """Make the record say that no store holds a root, where it says nothing of roots yet."""
        self._update(lambda content: replace(content, knows_roots=True))

    def remove_if_empty(self) -> None:
        """Remove the file where there is nothing to revert."""
        if not self.entries():
            for path in self.paths:
                path.unlink(missing_ok=True)

    def _read(self) -> _Content:
        """Return what the files say together: the old ones are read first, since a writer removes them last."""
        # A writer removes these after the new file is whole: in this order every entry is seen at least once.
        old_trust = _read_file(self.directory / OLD_TRUST_FILE, OLD_FORMAT, _of_old_trust, _SEARCH_STORES)
        old_setup = _read_file(self.directory / OLD_SETUP_FILE, OLD_FORMAT, _of_old_setup, _SEARCH_MACHINE)
        content = self._read_new()
        for old in (old_trust, old_setup):
            content = _merged(content, old)
        return content

    def _read_new(self) -> _Content:
        return _read_file(self.path, FORMAT, _of_json, _SEARCH_EVERYTHING)

    def _update(self, change: Callable[[_Content], _Content]) -> None:
        """Write the changed content, if it differs from the file's; two processes at once lose no entry."""
        # A run that changes nothing needs neither the lock nor a disk that can be written.
        if change(self._read()) == self._read_new() and not self._old_files():
            return
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with locked(self.directory / LOCK_NAME):
                # Read again under the lock: another process may have written since.
                self._write(change(self._read()))
        except OSError as error:
            raise StateError(
                f"{self.path} cannot be written: {error.strerror or error}.",
                path=str(self.path),
                hint="check who owns the directory and whether the disk is full",
            ) from error

    def _write(self, content: _Content) -> None:
        write_atomically(self.path, (json.dumps(_as_json(content), indent=2) + "\n").encode(), 0o600)
        old = self._old_files()
        if old:
            sync_directory(self.directory)  # the new name is on disk before the old ones go
            for path in old:
                path.unlink(missing_ok=True)

    def _old_files(self) -> tuple[Path, ...]:
        return tuple(path for path in self.paths[1:] if path.exists())


def _with(content: _Content, change: AppliedChange) -> _Content:
    """Return the content with one more change."""
    knows_roots = content.knows_roots or change.part is Part.TRUST
    known = next((each for each in content.changes if _is_same(each, change.part, change.name)), None)
    if known is None:
        noted = replace(change, previous_state=dict(change.previous_state))
        return replace(content, changes=(*content.changes, noted), knows_roots=knows_roots)
    # The state before the first apply is what a revert goes back to; a second apply saw our own change.
    if change.part is not Part.TRUST:
        return content
    grown = replace(known, previous_state={**known.previous_state, **change.previous_state})
    changes = tuple(grown if each is known else each for each in content.changes)
    return replace(content, changes=changes, knows_roots=knows_roots)


def _without(content: _Content, part: Part, name: str, roots: frozenset[str] | None) -> _Content:
    """Return the content without a change, or without these roots of it."""
    kept = []
    for each in content.changes:
        left = {}
        if not _is_same(each, part, name):
            left = dict(each.previous_state)
        elif roots is not None:
            left = {sha256: number for sha256, number in each.previous_state.items() if sha256 not in roots}
        if left or not _is_same(each, part, name):
            kept.append(replace(each, previous_state=left))
    return replace(content, changes=tuple(kept))


def _is_same(change: AppliedChange, part: Part, name: str) -> bool:
    return change.part is part and change.name == name


def _merged(content: _Content, old: _Content) -> _Content:
    """Return both, as if the old content's changes had been applied after the others."""
    for change in old.changes:
        content = _with(content, change)
    hostnames = tuple(sorted({*content.hostnames, *old.hostnames}))
    return replace(content, hostnames=hostnames, knows_roots=content.knows_roots or old.knows_roots)


def _read_file(path: Path, newest: int, parse: Callable[[Any], _Content], remedy: str) -> _Content:
    try:
        data: Any = json.loads(path.read_text("utf-8"))
        # Reading it as ours would drop what we do not know at the next write.
        if data["format"] > newest:
            raise StateError(f"{path} was written by a newer devtls.", path=str(path), hint="Upgrade devtls.")
        return parse(data)
    except (FileNotFoundError, NotADirectoryError):
        return _Content()
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, InvalidName) as error:
        raise StateError(f"{path} cannot be read.", path=str(path), hint=remedy) from error


def _of_json(data: Any) -> _Content:
    changes = tuple(
        AppliedChange(Part(each["part"]), _text(each["name"]), _texts(each["previous_state"]))
        for each in data["changes"]
    )
    return _Content(changes, _hostnames(data), bool(data["knows_roots"]))


def _as_json(content: _Content) -> dict[str, object]:
    changes = [
        {"part": each.part.value, "name": each.name, "previous_state": dict(each.previous_state)}
        for each in content.changes
    ]
    return {
        "format": FORMAT,
        "knows_roots": content.knows_roots,
        "hostnames": list(content.hostnames),
        "changes": changes,
    }


def _of_old_trust(data: Any) -> _Content:
    content = _Content(knows_roots=True)
    for each in data["installed"]:
        roots = {str(each["fingerprint"]): str(each["id"])}
        content = _with(content, AppliedChange(Part.TRUST, str(each["store"]), roots))
    return content


def _of_old_setup(data: Any) -> _Content:
    changes = (
        # The keys of format 1, in the words of that time.
        AppliedChange(_part_of(_text(each["name"])), each["name"], _texts(each["keepsake"]))
        for each in data["measures"]
    )
    return _Content(tuple(changes), _hostnames(data))


def _part_of(name: str) -> Part:
    """Return the part by the first half of a name; names are what a person looks at first where it says none."""
    prefix = name.partition(":")[0]
    return next((part for part in SETUP_PARTS if part.value == prefix), Part.NAMES)


def _hostnames(data: Any) -> tuple[str, ...]:
    # Checked although we wrote it: these names end in the hosts file by a root's hand.
    return tuple(parse_hostname(_text(name)) for name in data["hostnames"])


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _texts(values: dict[str, object]) -> PreviousState:
    return {_text(name): _text(value) for name, value in values.items()}
