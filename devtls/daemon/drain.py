"""The end of open connections when the proxy stops.

Owns who gets how much of the grace: an answer that moves, and a request whose answer has not begun, get all of it; an
answer that stands still is a stream without end (events, a log that is followed) and holds Ctrl-C no longer than
`STILL_S`. Refuses nobody in the middle of a transfer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Set as AbstractSet

from devtls.net.client.service import ClientConnection

STILL_S = 0.5
"""An event stream's client connects again by itself; a transfer that pauses longer than this is rare on loopback."""
_LOOK_S = 0.02


async def drain(connections: AbstractSet[ClientConnection], grace_s: float) -> None:
    """Let `connections` finish what runs; returns when all are gone, or after `grace_s` seconds."""
    for connection in list(connections):
        connection.drain()
    loop = asyncio.get_running_loop()
    deadline = loop.time() + grace_s
    moved: dict[ClientConnection, tuple[int, float]] = {}
    while connections and (now := loop.time()) < deadline:
        for connection in list(connections):
            position = connection.answer_position
            if position is None:
                moved.pop(connection, None)
            elif moved.get(connection, (None, 0.0))[0] != position:
                moved[connection] = (position, now)
            elif now - moved[connection][1] >= STILL_S:
                connection.abort()
        await asyncio.sleep(_LOOK_S)
