"""The WebSocket handshake as far as a proxy takes part in it (RFC 6455 4; RFC 8441 for HTTP/2).

Between two HTTP/1.1 sides the key, the accept value, sub-protocols and extensions belong to the browser and the app:
they pass untouched, and only the app says yes. This module owns what makes a yes: `101` with `Upgrade: websocket`. It
refuses every other 101, also one that nobody asked for. Where our side makes the key itself (HTTP/2 in front of
HTTP/1.1) it owns the key and checks the answer to it; the 16 random octets are a parameter.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha1

from devtls.http.events import InformationalResponse, Request
from devtls.http.headers import get, has_token

WEBSOCKET = b"websocket"
VERSION = b"13"

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def refusal_of(request: Request, response: InformationalResponse) -> str:
    """Return why a 101 cannot be passed on, as one sentence for the 502 page; "" when it is a good one."""
    if request.upgrade != WEBSOCKET:
        return "The app switched protocols (101) without being asked to."
    if not has_token(response.headers, b"upgrade", WEBSOCKET):
        return "The app switched (101) to something other than WebSocket."
    if not has_token(response.headers, b"connection", b"upgrade"):
        # RFC 9110 7.8: Upgrade without this is no statement about this connection, and a browser refuses it as well.
        return "The app answered 101 without `Connection: Upgrade`."
    return ""


def make_key(random_octets: bytes) -> bytes:
    """Return a Sec-WebSocket-Key for 16 random octets (RFC 6455 4.1, item 7)."""
    if len(random_octets) != 16:
        raise ValueError("a WebSocket key is made of exactly 16 octets")
    return b64encode(random_octets)


def accept_for(key: bytes) -> bytes:
    """Return the Sec-WebSocket-Accept that answers `key` (RFC 6455 4.2.2, item 5.4)."""
    return b64encode(sha1(key + _GUID, usedforsecurity=False).digest())


def accepts_key(response: InformationalResponse, key: bytes) -> bool:
    """Say whether a 101 proves that the app read our own `key`; only to be asked when we made it."""
    return get(response.headers, b"sec-websocket-accept") == accept_for(key)
