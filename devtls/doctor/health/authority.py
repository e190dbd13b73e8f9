"""The CA: whether it is there, safe, and in its time.

Owns the verdict on the state directory and the clock, and the probe that reads both. What the keystore itself refuses
is said in its words.
"""

from __future__ import annotations

import os
import shlex
import stat
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from devtls.doctor.health.finding import Finding, Level, Section, as_command, counted
from devtls.errors import DevtlsError, NoAuthority, StateError
from devtls.pki.authority import Authority
from devtls.pki.leaf import PROFILE
from devtls.system.changes.clientenv.variables import ROOT_FILE
from devtls.system.changes.engine import Proposal, propose
from devtls.system.changes.permissions import PrivateFiles
from devtls.system.changes.record import ChangeRecord
from devtls.system.changes.truststore.root import RootCertificate, ours
from devtls.system.storage.keystore import Keystore
from devtls.system.storage.passphrase import NO_PASSPHRASES, PassphraseSource
from devtls.system.storage.pointer import Pointer
from devtls.system.storage.register import Register

SOON = PROFILE.warn_before
_SKEW = timedelta(hours=1)
_NEW_CA = "devtls untrust --forget && devtls trust"
_RENEW = "devtls ca renew"
_RETIRE = "devtls ca retire"


@dataclass(frozen=True, slots=True)
class ErrorMessage:
    """The message of an error of ours: its sentence, and its hint."""

    sentence: str
    hint: str


@dataclass(frozen=True, slots=True)
class OlderCa:
    """A CA before the present one, whose root is trusted until it is retired."""

    id: str
    not_after: datetime | None


@dataclass(frozen=True, slots=True)
class CaFacts:
    """The content of the state directory.

    `refused` is why the keystore does not load the CA, `record` why the record of changes cannot be read; `exposed` can
    be read by others and is ours, which `closing` ends; `foreign` belongs to another user; `newest` is when the
    youngest file was written; `next_id` names the CA of a renewal that was begun and not finished; `limited` is false
    for a CA that was imported and may speak for every site; `gaps` is what a CA of an earlier devtls lacks; `withdrawn`
    says that this CA is on its root's CRL ("" = it is not), `unpublished` are the intermediates that a crash kept from
    that CRL: serial number -> the command to give again.
    """

    directory: Path
    now: datetime
    exists: bool = False
    id: str = ""
    zones: tuple[str, ...] = ()
    not_before: datetime | None = None
    not_after: datetime | None = None
    refused: ErrorMessage | None = None
    record: ErrorMessage | None = None
    exposed: tuple[Path, ...] = ()
    closing: Proposal | None = None
    foreign: tuple[Path, ...] = ()
    newest: datetime | None = None
    older: tuple[OlderCa, ...] = ()
    next_id: str = ""
    limited: bool = True
    gaps: tuple[str, ...] = ()
    withdrawn: str = ""
    unpublished: Mapping[str, str] = field(default_factory=dict)


def check_ca(facts: CaFacts) -> Iterator[Finding]:
    """Yield the findings about the CA."""
    if not facts.exists:
        yield Finding(
            "ca-missing",
            Section.CA,
            Level.TROUBLE,
            "There is no CA on this machine yet.",
            "Without one there is nothing that a browser could trust.",
            "devtls trust",
        )
    else:
        yield from _on_files(facts)
        yield from _on_time(facts)
        yield from _on_limits(facts)
        yield from _on_root_list(facts)
        yield from _on_renewal(facts)
    if facts.record is not None:
        yield Finding(
            "record-unreadable",
            Section.CA,
            Level.TROUBLE,
            facts.record.sentence,
            "It says which stores got which root: without it, trust and untrust stop.",
            as_command(facts.record.hint),
        )


def _on_files(facts: CaFacts) -> Iterator[Finding]:
    if facts.foreign:
        paths = " ".join(shlex.quote(str(path)) for path in facts.foreign)
        yield Finding(
            "ca-foreign-owner",
            Section.CA,
            Level.TROUBLE,
            f"{len(facts.foreign)} of the CA's files and directories belong to another user.",
            "Whoever owns them can put another CA in the place of yours, so devtls refuses them.",
            f'sudo chown "$USER" {paths}',
        )
    if facts.exposed:
        paths = " ".join(shlex.quote(str(path)) for path in facts.exposed)
        yield Finding(
            "ca-exposed",
            Section.CA,
            Level.TROUBLE,
            f"Other users can look into {len(facts.exposed)} of the CA's files and directories.",
            "Who reads the key can pose as your development sites, so devtls refuses to use it.",
            f"chmod go= {paths}",
            fix=facts.closing,
        )
    # Those say it more exactly, and the keystore's refusal only follows from them.
    if facts.refused is not None and not (facts.exposed or facts.foreign or _clock_is_behind(facts)):
        yield Finding(
            "ca-unusable",
            Section.CA,
            Level.TROUBLE,
            facts.refused.sentence,
            "devtls serve does not start with it.",
            as_command(facts.refused.hint) or _NEW_CA,
        )


def _clock_is_behind(facts: CaFacts) -> bool:
    return facts.not_before is not None and facts.now < facts.not_before


def _on_time(facts: CaFacts) -> Iterator[Finding]:
    if facts.not_before is not None and facts.now < facts.not_before:
        yield _clock(
            f"The clock says {facts.now:%Y-%m-%d %H:%M}, but the CA was made on {facts.not_before:%Y-%m-%d}.",
            Level.TROUBLE,
        )
    elif facts.newest is not None and facts.newest - facts.now > _SKEW:
        yield _clock(
            f"The clock says {facts.now:%Y-%m-%d %H:%M}, but a file of the CA was written at "
            f"{facts.newest:%Y-%m-%d %H:%M}.",
            Level.WARNING,
        )
    if facts.refused is None and facts.not_after is not None:
        left = facts.not_after - facts.now
        if left < SOON:
            yield Finding(
                "ca-expires",
                Section.CA,
                Level.WARNING,
                f"The CA ends on {facts.not_after:%Y-%m-%d}, in {counted(max(left.days, 0), 'day')}.",
                "After that day every browser refuses its certificates.",
                _RENEW,
            )
        else:
            what = f"devtls root {facts.id} speaks for {', '.join(facts.zones)}, until {facts.not_after:%Y-%m-%d}."
            yield Finding("ca-fine", Section.CA, Level.OK, what)


def _on_limits(facts: CaFacts) -> Iterator[Finding]:
    if not facts.limited:
        yield Finding(
            "ca-unlimited",
            Section.CA,
            Level.NOTE,
            "Nothing limits this CA to development names: it was imported.",
            "Whoever copies its key can pose as any site to everything that trusts its root.",
            _RENEW,
        )
    if facts.gaps:
        yield Finding(
            "ca-older-profile",
            Section.CA,
            Level.NOTE,
            f"The CA was made by an earlier devtls, and goes on working. {' '.join(facts.gaps)}",
            "It matters to programs that log people in by client certificates of this CA.",
            _RENEW,
        )


def _on_root_list(facts: CaFacts) -> Iterator[Finding]:
    if facts.withdrawn:
        why = "Browsers look at no such list, but Java, .NET, curl on Windows and OpenSSL do, when they are told to."
        yield Finding("ca-revoked", Section.CA, Level.TROUBLE, facts.withdrawn, why, _RENEW)
    for serial, verb in facts.unpublished.items():
        what = f"What was decided about the intermediate {serial[:8]} is not on the root's list: a crash intervened."
        why = "Whoever looks at the list does not know yet."
        yield Finding("ca-list-behind", Section.CA, Level.WARNING, what, why, f"devtls {verb} {serial}", serial)


def _on_renewal(facts: CaFacts) -> Iterator[Finding]:
    if facts.next_id:
        yield Finding(
            "ca-renewal-open",
            Section.CA,
            Level.WARNING,
            f"A renewal was begun and not finished: devtls root {facts.next_id} is made, but signs nothing yet.",
            "Until it is finished, the present CA goes on; it may end meanwhile.",
            _RENEW,
            facts.next_id,
        )
    for older in facts.older:
        if older.not_after is not None and older.not_after <= facts.now:
            what = f"devtls root {older.id}, of the CA before, ended on {older.not_after:%Y-%m-%d}."
            why = "No certificate of it is accepted any more, and stores still hold it."
            yield Finding("ca-older-ended", Section.CA, Level.WARNING, what, why, _RETIRE, older.id)
        else:
            until = f" until {older.not_after:%Y-%m-%d}" if older.not_after else ""
            what = f"devtls root {older.id}, of the CA before, is trusted{until} or until you retire it."
            why = "So certificates that it signed go on working; once none is needed, it should go."
            yield Finding("ca-older", Section.CA, Level.NOTE, what, why, _RETIRE, older.id)


def _clock(what: str, level: Level) -> Finding:
    why = "Certificates that are made with a wrong clock are refused as not valid yet, or not any more."
    return Finding("clock-wrong", Section.CA, level, what, why, "Set the clock of this machine right")


_OTHERS = 0o077
_POINTER = "ca.current"
_ROOT = "root.pem"


@dataclass(frozen=True)
class ProbedCa:
    """The facts, the CA when it can be used, and its root: that of a CA which is refused is in the stores as well."""

    facts: CaFacts
    authority: Authority | None
    root: RootCertificate | None


def probe_ca(state_dir: Path, now: datetime, passphrases: PassphraseSource = NO_PASSPHRASES) -> ProbedCa:
    """Probe the state directory; a locked key is opened with `passphrases`, when a client needs a certificate."""
    files, keystore = list(_private_files(state_dir)), Keystore(state_dir, passphrases)
    authority, refused = _load(keystore, now)
    entries = _entries_of(keystore)
    # Also of a CA that is refused: its dates show whether the clock is what is wrong.
    root = authority.root if authority else _root_on_disk(state_dir, entries)
    exposed = tuple(path for path, status in files if _is_ours(status) and _is_open(status))
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
        exposed=exposed,
        closing=propose(PrivateFiles(exposed), exposed) if exposed else None,
        foreign=tuple(path for path, status in files if not _is_ours(status)),
        newest=max((datetime.fromtimestamp(status.st_mtime, UTC) for _, status in files), default=None),
        older=tuple(OlderCa(entry.root_id, entry.not_after) for entry in entries.older) if entries else (),
        next_id=entries.next.root_id if entries and entries.next else "",
        limited=authority is None or authority.name_constrained,
        gaps=authority.profile_gaps if authority else (),
        withdrawn=authority.withdrawn_in_words if authority else "",
        unpublished=_unpublished(keystore, authority),
    )
    return ProbedCa(facts, authority, _installable(root, authority, keystore))


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


def _load(keystore: Keystore, now: datetime) -> tuple[Authority | None, ErrorMessage | None]:
    try:
        return keystore.load(now), None
    except NoAuthority:
        return None, None
    except StateError as error:
        return None, ErrorMessage(str(error), error.hint)
    except OSError as error:
        return None, ErrorMessage(f"{keystore.state_dir} cannot be read: {error.strerror or error}.", "")


def _private_files(state_dir: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield the files that only the user may read: the directory, the pointer, and the CA's own files."""
    # Eight characters: the key identifier's start, which names a generation.
    generations = [*state_dir.glob("ca-????????")] if state_dir.is_dir() else []
    inside = [file for directory in generations if directory.is_dir() for file in _entries(directory)]
    for path in (state_dir, state_dir / _POINTER, *generations, *inside):
        try:
            # lstat: the mode of a link's target is not the mode of what lies in our directory.
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
    # A link's own mode is 0777 and means nothing (symlink(7)). Windows has ACLs, not modes.
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


def _record_trouble(state_dir: Path) -> ErrorMessage | None:
    try:
        ChangeRecord(state_dir).entries()
    except DevtlsError as error:
        return ErrorMessage(str(error), error.hint)
    return None
