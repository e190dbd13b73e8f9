"""The register of a CA: certificates that were issued and revoked, as lines of JSON.

Owns the form of a line and what the lines together come to. A line is an event that was on disk before it counted;
none is ever changed. Refuses lines of a later version; a line that cannot be read is counted, not guessed at.
Strategy: the register is the truth and the CRL is signed from it, so a CRL that was lost or came too late
is made again.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import cached_property
from typing import Annotated, Literal

import msgspec
import msgspec.json

from devtls.errors import StateError
from devtls.pki.names_in_certificates import Kind

FORMAT = 1

RevocationReason = Literal[
    "unspecified",
    "key-compromise",
    "ca-compromise",
    "affiliation-changed",
    "superseded",
    "cessation-of-operation",
    "hold",
    "privilege-withdrawn",
]
"""Why a certificate was revoked (RFC 5280 5.3.1); only a hold can be released."""

RecordedKind = Kind | Literal["intermediate"]

Maker = Literal["cert", "sign", "acme", "ca intermediate"]
"""The command or server that issued a certificate."""

_TAG = "event"
_SHORTEST_SERIAL = 6

# 1 to 20 bytes (RFC 5280 4.1.2.2); \Z, since $ would let a newline through.
_Serial = Annotated[str, msgspec.Meta(pattern=r"^(?:[0-9a-f]{2}){1,20}\Z")]
_Time = Annotated[datetime, msgspec.Meta(tz=True)]
"""With a time zone: what has none cannot be compared with the clock."""


class Issued(msgspec.Struct, frozen=True, kw_only=True, tag="issued", tag_field=_TAG):
    """A certificate was signed; recorded before it went anywhere.

    `serial` is hex as `serial_text` writes it, `key_sha256` of the public key (SubjectPublicKeyInfo), `place` where the
    certificate went; the names of an intermediate are its zones. `issuer` is the name of the intermediate that signed
    it; "" in lines from before a CA had several.
    """

    format: int = FORMAT
    serial: _Serial
    at: _Time
    by: Maker
    kind: RecordedKind
    names: tuple[str, ...]
    not_before: _Time
    not_after: _Time
    key_sha256: str
    sha256: str
    place: str
    issuer: str = ""


class Revoked(msgspec.Struct, frozen=True, kw_only=True, tag="revoked", tag_field=_TAG):
    """A certificate does not count any more; `issuer` as for `Issued`, of one that may not be recorded."""

    format: int = FORMAT
    serial: _Serial
    at: _Time
    reason: RevocationReason
    issuer: str = ""


class Released(msgspec.Struct, frozen=True, kw_only=True, tag="released", tag_field=_TAG):
    """A hold was released."""

    format: int = FORMAT
    serial: _Serial
    at: _Time


Event = Issued | Revoked | Released
_DECODER = msgspec.json.Decoder(Event)


class _RegisterVersion(msgspec.Struct):
    format: int


class History(msgspec.Struct, frozen=True, dict=True):
    """All that the register says; `damaged` are the numbers of lines that cannot be read, from 1."""

    events: tuple[Event, ...] = ()
    damaged: tuple[int, ...] = ()

    @cached_property
    def issued(self) -> dict[str, Issued]:
        """Certificates by serial, the oldest first."""
        return {event.serial: event for event in self.events if isinstance(event, Issued)}

    @cached_property
    def revoked(self) -> dict[str, Revoked]:
        """The present revocations, by serial."""
        current: dict[str, Revoked] = {}
        for event in self.events:
            if isinstance(event, Revoked):
                current[event.serial] = event
            elif isinstance(event, Released):
                current.pop(event.serial, None)
        return current

    @cached_property
    def intermediates(self) -> frozenset[str]:
        """Serials of the intermediates: the root signed them, so they stand on its CRL, and on no other."""
        return frozenset(serial for serial, one in self.issued.items() if one.kind == "intermediate")

    def issuer_of(self, serial: str) -> tuple[str, RecordedKind]:
        """Return the name of the intermediate that signed a certificate, "" if no line says it, and its kind."""
        record, revocation = self.issued.get(serial), self.revoked.get(serial)
        name = (record.issuer if record else "") or (revocation.issuer if revocation else "")
        # What a running proxy minted is in no register, and for servers.
        return name, record.kind if record else "server"

    @cached_property
    def decided(self) -> frozenset[str]:
        """Serials that were revoked at any time, released ones included."""
        return frozenset(event.serial for event in self.events if not isinstance(event, Issued))

    def state(self, serial: str, now: datetime) -> str:
        """Return "valid", "expired", "revoked" or "on hold", of a certificate that is in the register."""
        revocation = self.revoked.get(serial)
        if revocation is not None:
            return "on hold" if revocation.reason == "hold" else "revoked"
        return "expired" if now >= self.issued[serial].not_after else "valid"


def joined(histories: Iterable[History]) -> History:
    """Return the registers of several CAs as one: serial numbers are random, so none occurs twice."""
    every = tuple(histories)
    return History(
        tuple(event for one in every for event in one.events), tuple(number for one in every for number in one.damaged)
    )


def serial_text(serial: int) -> str:
    """Return a serial number as `openssl x509 -serial` has it, in lower case: hex, whole bytes."""
    text = f"{serial:x}"
    return text.zfill(len(text) + len(text) % 2)


def render_event(event: Event) -> bytes:
    """Return an event as a line."""
    return msgspec.json.encode(event) + b"\n"


def parse_register(content: bytes, path: str) -> History:
    """Return what a register says; an unfinished last line (a crash while it was written) says nothing.

    Raises StateError for lines that a later devtls wrote.
    """
    events: list[Event] = []
    damaged: list[int] = []
    lines = content[: whole_lines(content)].split(b"\n")[:-1]
    for number, line in enumerate(lines, 1):
        try:
            events.append(_DECODER.decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError):
            _refuse_later_version(line, path)
            damaged.append(number)
    return History(tuple(events), tuple(damaged))


def whole_lines(content: bytes) -> int:
    """Return how many bytes of a register are whole lines."""
    return content.rfind(b"\n") + 1


def _refuse_later_version(line: bytes, path: str) -> None:
    try:
        version = msgspec.json.decode(line, type=_RegisterVersion).format
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    if version > FORMAT:
        raise StateError(
            f"The register of certificates was written by a later devtls (format {version}, this one knows {FORMAT}).",
            path=path,
            hint="upgrade devtls",
        )


def matching(history: History, wanted: str) -> tuple[Issued, ...]:
    """Return the certificates that a person means: by a name, or by a serial or how it begins (six digits or more)."""
    name = wanted.lower()
    return tuple(one for one in history.issued.values() if name in one.names or matches_serial(one.serial, wanted))


def matches_serial(serial: str, wanted: str) -> bool:
    """Say whether a person who wrote `wanted` may mean a serial number."""
    text = plain_serial(wanted)
    return len(text) >= _SHORTEST_SERIAL and serial.startswith(text)


def plain_serial(wanted: str) -> str:
    """Return a serial number as `serial_text` has it, however it was written: colons, capitals, 0x in front."""
    return wanted.lower().removeprefix("0x").replace(":", "").replace(" ", "")
