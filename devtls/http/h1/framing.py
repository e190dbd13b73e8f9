"""Framing: where a body ends and whether the connection survives the message (RFC 9112 sections 6 and 9.3).

Owns the meaning of Content-Length, Transfer-Encoding, Connection, Upgrade, Expect and Keep-Alive. Refuses every
message whose length two parsers could read differently: both lengths in a request, a repeated one, a coding that is
not exactly `chunked`, digits that are none. Responses are forgiven what RFC 9112 6.3 lets a proxy repair (both lengths,
the same one again), at the price of the connection where that is in doubt.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import msgspec

from devtls.errors import ProtocolViolation
from devtls.http.events import Headers
from devtls.http.h1.fields import (
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    HOST,
    KEEP_ALIVE,
    TRANSFER_ENCODING,
    UPGRADE,
    Acted,
    kind_of,
    list_members,
)

_MAX_LENGTH = 2**63 - 1
# 2^63-1 has as many; Python's int() takes quadratic time for long ones.
_MAX_DIGITS = 19
_ZERO = ord("0")
_USUAL_OPTION = [b"keep-alive"]
_TIMEOUT = re.compile(rb"timeout[ \t]*=[ \t]*\"?([0-9]{1,9})\"?")


class RequestFrame(msgspec.Struct, gc=False):
    """What the fields of a request say; `body_length` None = chunked, `host` None = no Host field."""

    host: bytes | None
    body_length: int | None
    keep_alive: bool
    expects_continue: bool
    upgrade: bytes


class ResponseFrame(msgspec.Struct, gc=False):
    """Where a response ends and what the upstream says about its connection.

    `repair` is what has to be done to the field list so that it says the same; `keep_alive_timeout_s` is the upstream's
    promise; `upgrades_to` are the protocols of its Upgrade field.
    """

    keep_alive: bool
    body_length: int | None = 0
    close_delimited: bool = False
    keep_alive_timeout_s: float | None = None
    repair: Callable[[Headers], Headers] | None = None
    upgrades_to: Sequence[bytes] = ()


def parse_content_length(value: bytes) -> int:
    """Return a Content-Length: digits and nothing else, at most 2^63-1 (RFC 9110 section 8.6)."""
    if value.isdigit() and len(value) <= _MAX_DIGITS:
        length = int(value)
        if length <= _MAX_LENGTH:
            return length
    raise ProtocolViolation("Content-Length is not a number below 2^63.")


def frame_request(acted: Acted, *, is_1_1: bool) -> RequestFrame:
    """Return where a request ends and what it wants of the connection; raises ProtocolViolation (400, 417, 501)."""
    host: bytes | None = None
    length: int | None = None
    chunked = expects_continue = False
    options: list[bytes] = []
    upgrades: list[bytes] = []
    for kind, value in acted:
        if kind == HOST:
            if host is not None:  # RFC 9112 3.2
                raise ProtocolViolation("The request has more than one Host field.")
            host = value
        elif kind == CONNECTION:
            options.append(value)
        elif kind == CONTENT_LENGTH:
            # RFC 9112 6.3 lets equal ones pass; request smuggling lives on such mercy.
            if length is not None:
                raise ProtocolViolation("The request has more than one Content-Length.")
            length = parse_content_length(value)
        elif kind == TRANSFER_ENCODING:
            _check_request_coding(value, again=chunked, is_1_1=is_1_1)
            chunked = True
        elif kind == EXPECT:
            if value.lower() != b"100-continue":
                raise ProtocolViolation("The only expectation that can be met is 100-continue.", status=417)
            expects_continue = is_1_1  # RFC 9110 10.1.1: from an HTTP/1.0 client it must be ignored
        elif kind == UPGRADE:
            upgrades.append(value)
    # RFC 9112 6.1: may be smuggling; refused, not repaired.
    if chunked and length is not None:
        raise ProtocolViolation("The request has both Content-Length and Transfer-Encoding.")
    if host is None and is_1_1:  # RFC 9112 3.2
        raise ProtocolViolation("The request has no Host field.")
    body_length = None if chunked else (length or 0)
    upgrade = _bridged_upgrade(upgrades, options) if upgrades and is_1_1 else b""  # RFC 9110 7.8: ignored in HTTP/1.0
    return RequestFrame(
        host, body_length, keeps_alive(options, is_1_1=is_1_1), expects_continue and body_length != 0, upgrade
    )


def _check_request_coding(value: bytes, *, again: bool, is_1_1: bool) -> None:
    if not is_1_1:  # RFC 9112 6.1: its framing is faulty
        raise ProtocolViolation("Transfer-Encoding does not exist in HTTP/1.0.")
    if again:
        raise ProtocolViolation("The request has more than one Transfer-Encoding.")
    if value.lower() != b"chunked":
        raise ProtocolViolation("The only transfer coding that is understood is chunked.", status=501)


def _bridged_upgrade(upgrades: list[bytes], options: list[bytes]) -> bytes:
    # RFC 9110 7.8: Upgrade counts only when Connection names it.
    if b"websocket" in list_members(upgrades) and b"upgrade" in list_members(options):
        return b"websocket"
    return b""


def keeps_alive(options: list[bytes], *, is_1_1: bool) -> bool:
    """Say whether the connection stays open after the message (RFC 9112 section 9.3)."""
    if not options or options == _USUAL_OPTION:
        return is_1_1 or bool(options)
    members = list_members(options)
    if b"close" in members:  # wins over keep-alive (RFC 9112 9.3)
        return False
    return is_1_1 or b"keep-alive" in members


def frame_interim(acted: Acted) -> ResponseFrame:
    """Return what a 1xx says: it has no body whatever its fields claim (RFC 9112 section 6.3)."""
    upgrades = [value for kind, value in acted if kind == UPGRADE]
    return ResponseFrame(keep_alive=True, upgrades_to=list_members(upgrades))


def frame_response(status: int, method: bytes, acted: Acted, *, is_1_1: bool) -> ResponseFrame:
    """Return where a final response ends (RFC 9112 6.3); raises ProtocolViolation for what cannot be trusted."""
    length: int | None = None
    chunked = False
    repair: Callable[[Headers], Headers] | None = None
    options: list[bytes] = []
    timeout_s: float | None = None
    for kind, value in acted:
        if kind == CONTENT_LENGTH:
            # The usual number; the rest costs 0.6 us.
            if length is None and value.isdigit() and len(value) < _MAX_DIGITS and (value[0] != _ZERO or value == b"0"):
                length = int(value)
            else:
                # Also `010`, which C reads as 8 and HTTP as 10 (RFC 9110 8.6): written as it was read.
                length = _agreed_length(length, value)
                repair = _with_one_length
        elif kind == TRANSFER_ENCODING:
            _check_response_coding(value, again=chunked, is_1_1=is_1_1)
            chunked = True
        elif kind == CONNECTION:
            options.append(value)
        elif kind == KEEP_ALIVE:
            timeout_s = _timeout_s(value)
    keep_alive = keeps_alive(options, is_1_1=is_1_1)
    # Both may carry the length that a GET would have had (RFC 9110 8.6).
    if method == b"HEAD" or status == 304:
        return ResponseFrame(keep_alive, 0, False, timeout_s, repair)
    # A length that is not 0 here says that bytes follow after all: the connection cannot be trusted.
    if status == 204:
        return ResponseFrame(keep_alive and not length and not chunked, 0, False, timeout_s, repair)
    if status == 205:
        # RFC 9110 15.3.6: no content. What an app sends all the same is never read: its connection goes instead.
        return ResponseFrame(keep_alive and length == 0 and not chunked, 0, False, timeout_s, _with_length_zero)
    # RFC 9112 6.3: Transfer-Encoding overrides the length, which must go before it is passed on.
    if chunked:
        if length is not None:
            return ResponseFrame(False, None, repair=_without_lengths)
        return ResponseFrame(keep_alive, None, False, timeout_s)
    if length is None:  # RFC 9112 6.3: until the connection closes
        return ResponseFrame(False, None, close_delimited=True)
    return ResponseFrame(keep_alive, length, False, timeout_s, repair)


def _check_response_coding(value: bytes, *, again: bool, is_1_1: bool) -> None:
    # Another coding outside of chunked would have to be undone by us; Go and nginx refuse it, too.
    if again or value.lower() != b"chunked":
        raise ProtocolViolation(
            "The response has a transfer coding that is not exactly chunked.",
            summary="a Transfer-Encoding that is not exactly chunked",
        )
    if not is_1_1:  # nginx reads the chunks, browsers do not (RFC 9112 6.1)
        raise ProtocolViolation(
            "The response has a transfer coding, and HTTP/1.0 has none.", summary="Transfer-Encoding in HTTP/1.0"
        )


def _agreed_length(length: int | None, value: bytes) -> int:
    # RFC 9110 8.6: a list of the same number means that number, as several lines of it do.
    for member in value.split(b","):
        number = _response_length(member.strip(b" \t"))
        if length is not None and number != length:
            raise ProtocolViolation(
                "The response has two different Content-Lengths.", summary="two different Content-Lengths"
            )
        length = number
    assert length is not None  # noqa: S101 - split returns one member at least
    return length


def _response_length(value: bytes) -> int:
    try:
        return parse_content_length(value)
    except ProtocolViolation as violation:
        shown = value[:_MAX_DIGITS].decode("ascii", "replace")
        raise ProtocolViolation(str(violation), summary=f'bad Content-Length "{shown}"') from None


def _timeout_s(value: bytes) -> float | None:
    found = _TIMEOUT.search(value.lower())
    return None if found is None else float(found[1])


def _without_lengths(headers: Headers) -> Headers:
    return [field for field in headers if kind_of(field[0]) != CONTENT_LENGTH]


def _with_length_zero(headers: Headers) -> Headers:
    return [*_without_lengths(headers), (b"Content-Length", b"0")]


def _with_one_length(headers: Headers) -> Headers:
    lengths = [field for field in headers if kind_of(field[0]) == CONTENT_LENGTH]
    place = headers.index(lengths[0])
    number = b"%d" % _agreed_length(None, lengths[0][1])
    return [*_without_lengths(headers[:place]), (lengths[0][0], number), *_without_lengths(headers[place + 1 :])]
