"""The WebSocket handshake as far as a proxy takes part in it (RFC 6455 4).

The key, the accept value, sub-protocols and extensions belong to the browser and the app: they pass untouched, and
only the app says yes. This module owns what makes a yes: `101` with `Upgrade: websocket` and `Connection: Upgrade`.
It refuses every other 101, also one that nobody asked for.
"""

from __future__ import annotations

from devtls.http.events import InformationalResponse, Request
from devtls.http.headers import has_token

WEBSOCKET = b"websocket"


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
