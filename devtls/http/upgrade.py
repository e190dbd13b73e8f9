"""The WebSocket handshake as far as a proxy takes part in it (RFC 6455 4).

The key, the accept value, sub-protocols and extensions belong to the browser and the app: they pass untouched, and
only the app says yes. Where the client's HTTP version has no key (RFC 8441) the codec made one, and the accept value is
checked here. This module owns what makes a yes: `101` with `Upgrade: websocket` and `Connection: Upgrade`.
It refuses every other 101, also one that nobody asked for.
"""

from __future__ import annotations

import base64

from devtls.http.events import Headers, InformationalResponse, Request
from devtls.http.headers import get, has_token

WEBSOCKET = b"websocket"
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept_of(request_headers: Headers) -> bytes:
    """Return the Sec-WebSocket-Accept that a request asks for (RFC 6455 4.2.2)."""
    from hashlib import sha1  # 1 ms that no start needs

    key = get(request_headers, b"sec-websocket-key") or b""
    # FIPS builds refuse SHA-1 as a means of security
    return base64.b64encode(sha1(key + _GUID, usedforsecurity=False).digest())


def refusal_of(request: Request, response: InformationalResponse) -> str:
    """Return why a 101 cannot be passed on, as one sentence for the 502 page; "" when it is a good one."""
    if request.upgrade != WEBSOCKET:
        return "The app switched protocols (101) without being asked to."
    if not has_token(response.headers, b"upgrade", WEBSOCKET):
        return "The app switched (101) to something other than WebSocket."
    if not has_token(response.headers, b"connection", b"upgrade"):
        # RFC 9110 7.8: Upgrade without this is no statement about this connection, and a browser refuses it as well.
        return "The app answered 101 without `Connection: Upgrade`."
    # A browser checks its own key; here the key is ours, and nobody else can.
    if request.websocket_key and get(response.headers, b"sec-websocket-accept") != accept_of(
        [(b"sec-websocket-key", request.websocket_key)]
    ):
        return "The app accepted a WebSocket with a wrong Sec-WebSocket-Accept."
    return ""
