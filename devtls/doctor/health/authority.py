"""Whether the CA is there, safe, and in its time.

Owns the judgement about the state folder and the clock. What the keystore itself refuses is said in its words.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from devtls.doctor.health.finding import CloseToOthers, Finding, Level, Section, as_command
from devtls.pki.leaf import PROFILE

SOON = PROFILE.warn_before
_SKEW = timedelta(hours=1)
_NEW_CA = "devtls untrust --forget && devtls trust"
_RENEW = "devtls ca renew"
_RETIRE = "devtls ca retire"


@dataclass(frozen=True, slots=True)
class Said:
    """An error of ours: its sentence, and what it says to do."""

    sentence: str
    hint: str


@dataclass(frozen=True, slots=True)
class Older:
    """A CA before the present one, whose root is trusted until it is retired."""

    id: str
    not_after: datetime | None


@dataclass(frozen=True, slots=True)
class CaFacts:
    """What the state folder holds.

    `refused` is why the keystore does not load the CA, `record` why the record of installations cannot be read;
    `exposed` can be read by others and is ours, `foreign` belongs to another user; `newest` is when the youngest file
    was written; `next_id` names the CA of a renewal that was begun and not finished; `limited` is false for a CA that
    was imported and may speak for every site; `withdrawn` says that this CA is on its root's list ("" = it is not),
    `unpublished` are the intermediates that a crash kept from that list: serial number -> the command to give again.
    """

    directory: Path
    now: datetime
    exists: bool = False
    id: str = ""
    zones: tuple[str, ...] = ()
    not_before: datetime | None = None
    not_after: datetime | None = None
    refused: Said | None = None
    record: Said | None = None
    exposed: tuple[Path, ...] = ()
    foreign: tuple[Path, ...] = ()
    newest: datetime | None = None
    older: tuple[Older, ...] = ()
    next_id: str = ""
    limited: bool = True
    withdrawn: str = ""
    unpublished: Mapping[str, str] = field(default_factory=dict)


def judge_ca(facts: CaFacts) -> Iterator[Finding]:
    """Yield what there is to say about the CA."""
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
            f"{len(facts.foreign)} of the CA's files and folders belong to another user.",
            "Whoever owns them can put another CA in the place of yours, so devtls refuses them.",
            f'sudo chown "$USER" {paths}',
        )
    if facts.exposed:
        paths = " ".join(shlex.quote(str(path)) for path in facts.exposed)
        yield Finding(
            "ca-exposed",
            Section.CA,
            Level.TROUBLE,
            f"Other users can look into {len(facts.exposed)} of the CA's files and folders.",
            "Who reads the key can pose as your development sites, so devtls refuses to use it.",
            f"chmod go= {paths}",
            fix=CloseToOthers(facts.exposed),
        )
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
                f"The CA ends on {facts.not_after:%Y-%m-%d}, in {max(left.days, 0)} days.",
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
