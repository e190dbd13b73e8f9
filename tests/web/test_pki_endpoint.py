"""The PKI endpoint: documents, their caching, and who may ask."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import ClientSession, web

from devtls.web.pki_endpoint import Document, make_pki_app
from devtls.web.pki_page import POLICY, RootCard

CARD = RootCard("devtls root 01234567", "ab" * 32, ("dev.local", "test"), datetime(2036, 11, 20, tzinfo=UTC))
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8", "User-Agent": "Mozilla/5.0 (X11; Linux x86_64)"}
ROOT = Document(b"root", "application/x-x509-ca-cert")


async def documents() -> dict[str, Document]:
    fresh = Document(b"list", "application/pkix-crl", datetime.now(UTC) + timedelta(minutes=10))
    return {"/root-01234567.crl": fresh, "/root.der": ROOT}


@pytest.fixture
async def base() -> AsyncIterator[str]:
    runner = web.AppRunner(make_pki_app(documents, lambda: CARD), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


async def test_a_list_may_be_cached_until_the_next_one(base: str, session: ClientSession) -> None:
    async with session.get(base + "/root-01234567.crl") as answer:
        assert (answer.status, await answer.read()) == (200, b"list")
        assert answer.headers["Content-Type"] == "application/pkix-crl"
        assert 590 <= int(answer.headers["Cache-Control"].removeprefix("max-age=")) <= 600
        assert answer.headers["Expires"].endswith("GMT")
        assert answer.headers["Server"] == "devtls"


async def test_the_root_is_asked_for_again_each_time(base: str, session: ClientSession) -> None:
    async with session.get(base + "/root.der") as answer:
        assert (await answer.read(), answer.headers["Cache-Control"]) == (b"root", "no-cache")


async def test_head_has_no_body(base: str, session: ClientSession) -> None:
    async with session.head(base + "/root.der") as answer:
        assert (answer.status, answer.headers["Content-Length"], await answer.read()) == (200, "4", b"")


async def test_a_browser_gets_a_page_and_everybody_else_text(base: str, session: ClientSession) -> None:
    async with session.get(base + "/", headers=BROWSER) as answer:
        page = await answer.text()
        assert (answer.status, answer.content_type, answer.headers["Content-Security-Policy"]) == (
            200,
            "text/html",
            POLICY,
        )
        assert "Linux</summary>" in page
        assert answer.headers["Vary"] == "Accept, User-Agent"
    async with session.get(base + "/") as answer:
        text = await answer.text()
        assert (answer.status, answer.content_type) == (200, "text/plain")
        assert f"  {base}/devtls-root.mobileconfig" in text
        assert "<" not in text.replace('<certificates src="user"/>', "")


async def test_the_page_needs_no_document(session: ClientSession) -> None:
    """Nothing is read or signed for it."""

    async def broken() -> dict[str, Document]:
        raise AssertionError

    runner = web.AppRunner(make_pki_app(broken, lambda: CARD), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with session.head(f"http://127.0.0.1:{runner.addresses[0][1]}/") as answer:
        assert (answer.status, await answer.read()) == (200, b"")
    await runner.cleanup()


async def test_other_paths_and_methods_are_refused(base: str, session: ClientSession) -> None:
    async with session.get(base + "/intermediate.key") as answer:
        assert answer.status == 404
    async with session.post(base + "/root.der") as answer:
        assert answer.status == 405


@pytest.mark.parametrize(("host", "status"), [("localhost:1", 200), ("127.0.0.1", 200), ("evil.example.com", 421)])
async def test_only_this_machines_own_hosts(base: str, session: ClientSession, host: str, status: int) -> None:
    for path in ("/root.der", "/"):
        async with session.get(base + path, headers={"Host": host}) as answer:
            assert answer.status == status
