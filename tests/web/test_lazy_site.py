"""A site that listens before its app is loaded."""

from __future__ import annotations

import asyncio
import socket

from aiohttp import ClientSession, web

from devtls.net.admission import ConnectionTable
from devtls.net.bind import Bound
from devtls.net.listener import Listener
from devtls.web.lazy_site import LazySite, SiteTerms, SiteTimeouts


def listen() -> tuple[socket.socket, str]:
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    return listening, f"http://127.0.0.1:{listening.getsockname()[1]}/"


def make_app(made: list[web.Application] | None = None) -> web.Application:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(text="here")

    app = web.Application()
    app.router.add_get("/", handle)
    if made is not None:
        made.append(app)
    return app


APP = f"{__name__}:make_app"


def terms_for(most: int = 64, faults: list[Exception] | None = None, timeouts: SiteTimeouts | None = None) -> SiteTerms:
    """Return the terms of a site that accepts so many connections."""
    places = ConnectionTable(lambda: most)
    return SiteTerms(
        lambda sock, make: Listener(Bound(0, [sock]), make, places),
        places,
        ([] if faults is None else faults).append,
        timeouts or SiteTimeouts(),
    )


async def test_the_first_client_makes_it_load() -> None:
    listening, url = listen()
    made: list[web.Application] = []

    site = LazySite(listening, terms_for(), APP, made)
    site.start()
    await asyncio.sleep(0)
    assert not made
    async with ClientSession() as session, session.get(url) as answer:
        assert await answer.text() == "here"
    assert len(made) == 1
    await site.close()
    assert listening.fileno() == -1


async def test_it_can_be_loaded_ahead() -> None:
    listening, url = listen()
    site = LazySite(listening, terms_for(), APP)
    site.start()
    await site.loaded()
    async with ClientSession() as session, session.get(url) as answer:
        assert answer.status == 200
    await site.close()


async def test_it_can_be_closed_unused_and_while_loading() -> None:
    for load in (False, True):
        listening, _ = listen()
        site = LazySite(listening, terms_for(), APP)
        site.start()
        if load:
            site.load()
        await site.close()
        assert listening.fileno() == -1
