"""Removal of the files that are left in the state directory once the CA is forgotten.

Owns the last step of `devtls untrust --forget` and of `devtls uninstall`: files that only said "nothing" go, and with
them the directory. Refuses to remove what somebody may still need, and says what that is; a file that it does not know
stays.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from devtls.errors import StateError
from devtls.system.changes.change import Part
from devtls.system.changes.record import LOCK_NAME, ChangeRecord
from devtls.system.control.channel import remove_leftovers
from devtls.system.machine.private_files import locked

_LOCKS = ("ca.lock", "allowed.lock", LOCK_NAME)
_MEMORIES = ("allowed.json", "config.lock")
"""What goes with the program only."""
_STORES, _MACHINE = "a store may still hold the root", "devtls unsetup reverts the changes that it names"
_REASONS = {
    "allowed.json": "what devtls allow remembers",
    "run": "a devtls that is still running",
}


def clear_state(state_dir: Path) -> tuple[str, ...]:
    """Remove what nobody needs any more, and the directory if that was all; return what stays and why."""
    if not state_dir.is_dir():
        return ()
    record = ChangeRecord(state_dir)
    with contextlib.suppress(StateError):  # a damaged one may say something
        record.remove_if_empty()
    for name in _LOCKS:
        if (state_dir / name).exists():
            with locked(state_dir / name):
                (state_dir / name).unlink(missing_ok=True)
    for directory in (state_dir / "run", state_dir):
        with contextlib.suppress(OSError):  # not empty, or not ours to remove: then it is named below
            directory.rmdir()
    if not state_dir.is_dir():
        return ()
    reasons = {**_REASONS, **dict.fromkeys((path.name for path in record.paths), _reason_of(record))}
    return tuple(_explain(path.name, reasons.get(path.name, "")) for path in sorted(state_dir.iterdir()))


def remove_state(state_dir: Path, runtime_dir: Path) -> tuple[str, ...]:
    """Remove also what is remembered and the sockets of proxies that died; return what stays and why."""
    remove_leftovers(runtime_dir)
    for name in _MEMORIES:
        (state_dir / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # not there, or somebody runs
        runtime_dir.rmdir()
    return clear_state(state_dir)


def _reason_of(record: ChangeRecord) -> str:
    """Return why the record stays: by what it says, or for everything that it may say."""
    try:
        parts = {entry.part for entry in record.entries()}
    except StateError:
        parts = set(Part)
    stores = [_STORES] if Part.TRUST in parts else []
    return "; ".join([*stores, *([_MACHINE] if parts - {Part.TRUST} else [])])


def _explain(name: str, reason: str) -> str:
    if name.startswith(("ca-bundle", "devtls-truststore")):
        return f"{name} (a variable of your shell names it)"
    return f"{name} ({reason})" if reason else name
