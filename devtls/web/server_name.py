"""The Server field of our own responses: without the versions of Python and aiohttp."""

from __future__ import annotations

from aiohttp import web


async def name_server(_: web.Request, response: web.StreamResponse) -> None:
    """Name us; a signal of aiohttp, called before each head is sent."""
    # RFC 9110 10.2.4: details of versions help nobody but an attacker.
    response.headers["Server"] = "devtls"
