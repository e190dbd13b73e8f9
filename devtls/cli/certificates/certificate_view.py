"""Certificates of the register as text for people and values for programs.

Owns the wording and the JSON keys. The caller escapes what came from outside when it prints.
"""

from __future__ import annotations

from datetime import datetime

from devtls.cli.terminal.table import Row
from devtls.operations.certificates import IssuedCertificate
from devtls.pki.register import History, Issued, serial_text

SHORT_SERIAL = 8
"""So many digits tell certificates apart; commands take a serial that begins like this."""
_FOR = {"server": "a server", "client": "a client", "intermediate": "an intermediate: its names are zones"}
TITLES = ("Serial", "Names", "For", "Until", "State", "Place")


def certificate_text(issued: IssuedCertificate) -> str:
    """Return the names of a certificate that was just issued, and when it ends."""
    names = ", ".join(str(name) for name in issued.template.names)
    return f"For {names}, until {issued.certificate.not_valid_after_utc:%Y-%m-%d}"


def certificate_json(issued: IssuedCertificate) -> dict[str, object]:
    """Return a certificate that was just issued as JSON values."""
    leaf = issued.certificate
    return {
        "serial": serial_text(leaf.serial_number),
        "names": [str(name) for name in issued.template.names],
        "kind": issued.template.kind,
        "not_before": leaf.not_valid_before_utc.isoformat(),
        "not_after": leaf.not_valid_after_utc.isoformat(),
    }


def record_json(history: History, one: Issued, now: datetime) -> dict[str, object]:
    """Return a certificate of the register."""
    revocation = history.revoked.get(one.serial)
    return {
        "serial": one.serial,
        "names": list(one.names),
        "kind": one.kind,
        "by": one.by,
        "issued_at": one.at.isoformat(),
        "not_before": one.not_before.isoformat(),
        "not_after": one.not_after.isoformat(),
        "key_sha256": one.key_sha256,
        "sha256": one.sha256,
        "place": one.place,
        "state": history.state(one.serial, now),
        "revoked_at": revocation.at.isoformat() if revocation else None,
        "reason": revocation.reason if revocation else None,
    }


def record_row(history: History, one: Issued, now: datetime) -> Row:
    """Return a certificate of the register as a row below TITLES."""
    state = history.state(one.serial, now)
    return (one.serial[:SHORT_SERIAL], ", ".join(one.names), one.kind, f"{one.not_after:%Y-%m-%d}", state, one.place)


def record_facts(history: History, one: Issued, now: datetime) -> dict[str, str]:
    """Return everything about one certificate, label by label."""
    state, revocation = history.state(one.serial, now), history.revoked.get(one.serial)
    if revocation is not None:
        state += f" since {revocation.at:%Y-%m-%d %H:%M} UTC ({revocation.reason})"
    return {
        "Serial": one.serial,
        "Names": ", ".join(one.names),
        "For": _FOR[one.kind],
        "State": state,
        "Valid": f"{one.not_before:%Y-%m-%d %H:%M} to {one.not_after:%Y-%m-%d %H:%M} UTC",
        "Issued": f"{one.at:%Y-%m-%d %H:%M} UTC by devtls {one.by}",
        "Place": one.place,
        "SHA-256": one.sha256,
        "Key": f"SHA-256 {one.key_sha256}",
    }
