"""Facts about the state folder: what lies there, whose it is, and what the keystore says to it."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from devtls.doctor.health.authority import CaFacts, Older, Said
from devtls.errors import DevtlsError, NoAuthority, StateError
from devtls.pki.authority import Authority
from devtls.system.changes.clientenv.variables import ROOT_FILE
from devtls.system.changes.record import ChangeRecord
from devtls.system.changes.truststore.root import RootCertificate, ours
from devtls.system.storage.keystore import Keystore
from devtls.system.storage.pointer import Pointer
from devtls.system.storage.register import Register

_OTHERS = 0o077
_POINTER = "ca.current"
_ROOT = "root.pem"


@dataclass(frozen=True)
class Ca:
    """The facts, the CA when it can be used, and its root: that of a CA which is refused is in the stores as well."""

    facts: CaFacts
    authority: Authority | None
    root: RootCertificate | None


def look_at_ca(state_dir: Path, now: datetime) -> Ca:
    """Return what the state folder holds."""
    files, keystore = list(_private_files(state_dir)), Keystore(state_dir)
    authority, refused = _load(keystore, now)
    entries = _entries_of(keystore)
    root = authority.root if authority else _root_on_disk(state_dir, entries)
    facts = CaFacts(
        directory=state_dir,
        now=now,
        exists=authority is not None or refused is not None,
        id=authority.id if authority else "",
        zones=tuple(authority.zones) if authority else (),
        not_before=root.not_valid_before_utc if root else None,
        not_after=authority.not_after if authority else root.not_valid_after_utc if root else None,
        refused=refused,
        record=_record_trouble(state_dir),
        exposed=tuple(path for path, status in files if _is_ours(status) and _is_open(status)),
        foreign=tuple(path for path, status in files if not _is_ours(status)),
        newest=max((datetime.fromtimestamp(status.st_mtime, UTC) for _, status in files), default=None),
        older=tuple(Older(entry.root_id, entry.not_after) for entry in entries.older) if entries else (),
        next_id=entries.next.root_id if entries and entries.next else "",
        limited=authority is None or authority.name_constrained,
        withdrawn=authority.withdrawn_in_words if authority else "",
        unpublished=_unpublished(keystore, authority),
    )
    return Ca(facts, authority, _installable(root, authority, keystore))


def _installable(
    root: x509.Certificate | None, authority: Authority | None, keystore: Keystore
) -> RootCertificate | None:
    der = root.public_bytes(Encoding.DER) if root else b""
    found = RootCertificate(authority.id, der, Path()) if authority else ours(der) if root else None
    if found is None:
        return None
    try:
        older = tuple(each.public_bytes(Encoding.DER) for each in keystore.older_roots())
    except (StateError, OSError):
        older = ()
    return replace(found, path=keystore.state_dir / ROOT_FILE, older=older)


def _unpublished(keystore: Keystore, authority: Authority | None) -> dict[str, str]:
    try:
        return Register(keystore, authority).unpublished() if authority else {}
    except (DevtlsError, OSError):  # a register that cannot be read is said by whoever needs it
        return {}


def _entries_of(keystore: Keystore) -> Pointer | None:
    try:
        return keystore.pointer()
    except (StateError, OSError):  # why the CA cannot be loaded either
        return None


def _load(keystore: Keystore, now: datetime) -> tuple[Authority | None, Said | None]:
    try:
        return keystore.load(now), None
    except NoAuthority:
        return None, None
    except StateError as error:
        return None, Said(str(error), error.hint)
    except OSError as error:
        return None, Said(f"{keystore.state_dir} cannot be read: {error.strerror or error}.", "")


def _private_files(state_dir: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield what only the user may read: the folder, the pointer, and the CA's own files."""
    generations = [*state_dir.glob("ca-????????")] if state_dir.is_dir() else []
    inside = [file for directory in generations if directory.is_dir() for file in _entries(directory)]
    for path in (state_dir, state_dir / _POINTER, *generations, *inside):
        try:
            yield path, path.lstat()
        except OSError:  # not there; what cannot be looked into is said by the keystore
            continue


def _entries(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except OSError:
        return []


def _is_ours(status: os.stat_result) -> bool:
    return sys.platform == "win32" or status.st_uid == os.geteuid()


def _is_open(status: os.stat_result) -> bool:
    return sys.platform != "win32" and not stat.S_ISLNK(status.st_mode) and bool(status.st_mode & _OTHERS)


def _root_on_disk(state_dir: Path, pointer: Pointer | None) -> x509.Certificate | None:
    """Return the root of a CA that is refused: its dates tell whether the clock is to blame."""
    named = [state_dir / pointer.generation / _ROOT] if pointer else []
    for file in (*named, *state_dir.glob(f"ca-*/{_ROOT}")):
        try:
            return x509.load_pem_x509_certificate(file.read_bytes())
        except (OSError, ValueError):
            continue
    return None


def _record_trouble(state_dir: Path) -> Said | None:
    try:
        ChangeRecord(state_dir).entries()
    except DevtlsError as error:
        return Said(str(error), error.hint)
    return None
