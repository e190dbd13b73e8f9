"""The Server field of what we serve ourselves: no versions of Python and aiohttp for whoever asks."""

from __future__ import annotations

from aiohttp import web


async def name_server(_: web.Request, response: web.StreamResponse) -> None:
    """Name us; a signal of aiohttp, called before each head is sent."""
    response.headers["Server"] = "devtls"
