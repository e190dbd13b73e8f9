"""Look-ups in an ordered field list, and which fields end at the next hop.

Owns how a field name or a comma-separated list is matched. Refuses nothing: the codecs have already refused what is not
HTTP. A list is never turned into a dict, because order and repetition carry meaning (RFC 9110 5.3, Set-Cookie).
"""

from __future__ import annotations

from devtls.http.events import Headers

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-connection",  # no standard, but clients send it (RFC 9112 C.2.2)
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"proxy-authorization",
        b"te",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",  # of the upgrade to h2c, which RFC 9113 3.1 has abandoned
    }
)
"""Names that never travel further (RFC 9110 7.6.1, 11.7; RFC 7540 3.2.1), whether Connection names them or not."""


def get(headers: Headers, name: bytes) -> bytes | None:
    """Return the value of the first field called `name` (lower case), or None."""
    for field_name, value in headers:
        if field_name.lower() == name:
            return value
    return None


def get_all(headers: Headers, name: bytes) -> list[bytes]:
    """Return the values of every field called `name` (lower case), in order."""
    return [value for field_name, value in headers if field_name.lower() == name]


def tokens(value: bytes) -> list[bytes]:
    """Split a comma-separated value into lower-case members without their parameters; empty members are skipped."""
    members = (member.partition(b";")[0].strip(b" \t").lower() for member in value.split(b","))
    return [member for member in members if member]


def has_token(headers: Headers, name: bytes, token: bytes) -> bool:
    """Say whether the lower-case `token` is a member of the list that all fields called `name` form together."""
    return any(token in tokens(value) for value in get_all(headers, name))


def connection_nominated(headers: Headers) -> frozenset[bytes]:
    """Return the lower-case names that Connection lists, over all its lines (RFC 9110 7.6.1)."""
    return frozenset(token for value in get_all(headers, b"connection") for token in tokens(value))
