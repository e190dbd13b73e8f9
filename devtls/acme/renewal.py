"""ACME Renewal Information (RFC 9773): when a certificate should be renewed.

Owns how a certificate is named in a path, and the window that is suggested. Refuses what names none. It is asked
without an account and without a signature, and what is told is no secret: whether a certificate counts is on a CRL.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from devtls.acme.encoding import from_text
from devtls.acme.messages import AcmeOutcome, AcmeResponse, Renewal, json_response, stamp
from devtls.acme.problems import refusal

_PARTS = 2
_ASK_AGAIN_S = 3600
_PAST = timedelta(hours=1)
"""A window that has passed says: now (RFC 9773 4.2). Clocks of clients may be slow."""


def renewal_request(named: str) -> AcmeOutcome:
    """Ask for what is known of a certificate; `named` is its issuer's key identifier and its serial (RFC 9773 4.1)."""
    parts = named.split(".")
    if len(parts) != _PARTS or not all(parts):
        raise refusal("malformed", "A certificate is named by key identifier and serial number, a dot between them.")
    issuer, serial = from_text(parts[0], "key identifier"), from_text(parts[1], "serial number")
    return AcmeOutcome(None, Renewal(issuer, int.from_bytes(serial, "big")))


def window(not_before: datetime, not_after: datetime) -> tuple[datetime, datetime]:
    """Return when a certificate should be renewed that nothing is wrong with: after two thirds of its life."""
    life = not_after - not_before
    start = not_before + life * 2 / 3
    return start, start + life / 30


def at_once(now: datetime) -> tuple[datetime, datetime]:
    """Return the window of one that does not count any more, or soon will not."""
    return now - 2 * _PAST, now - _PAST


def renewal_response(suggested: tuple[datetime, datetime] | None) -> AcmeResponse:
    """Return the answer; None = the certificate is unknown. Raises AcmeProblem for that."""
    if suggested is None:
        raise refusal("malformed", "This CA gave out no such certificate.", status=404)
    start, end = map(stamp, suggested)
    return json_response(200, {"suggestedWindow": {"start": start, "end": end}}, ("Retry-After", str(_ASK_AGAIN_S)))
