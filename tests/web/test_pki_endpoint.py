"""The PKI endpoint: documents, their caching, and who may ask."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import ClientSession, web
from yarl import URL

from devtls.web.pki_endpoint import Document, make_pki_app
from devtls.web.pki_page import POLICY, RootCard

CARD = RootCard("devtls root 01234567", "ab" * 32, ("dev.local", "test"), datetime(2036, 11, 20, tzinfo=UTC))
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8", "User-Agent": "Mozilla/5.0 (X11; Linux x86_64)"}
SIGNED = datetime(2026, 11, 20, 12, tzinfo=UTC)
ROOT = Document(b"root", "application/x-x509-ca-cert")


ASKED: list[bytes] = []


async def status(request: bytes) -> Document:
    ASKED.append(request)
    now = datetime.now(UTC)
    kept = now + timedelta(minutes=5) if request != b"once" else None
    return Document(b"status of " + request, "application/ocsp-response", kept, now)


async def documents() -> dict[str, Document]:
    fresh = Document(b"list", "application/pkix-crl", datetime.now(UTC) + timedelta(minutes=10), SIGNED)
    return {"/root-01234567.crl": fresh, "/root.der": ROOT}


@pytest.fixture
async def base() -> AsyncIterator[str]:
    runner = web.AppRunner(make_pki_app(documents, lambda: CARD, status), access_log=None)
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

    runner = web.AppRunner(make_pki_app(broken, lambda: CARD, status), access_log=None)
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


async def test_a_list_is_sent_once_to_who_has_it(base: str, session: ClientSession) -> None:
    url = base + "/root-01234567.crl"
    async with session.get(url) as answer:
        tag = answer.headers["ETag"]
        assert answer.headers["Last-Modified"] == "Fri, 20 Nov 2026 12:00:00 GMT"
    for header, value, status in (
        ("If-None-Match", tag, 304),
        ("If-None-Match", f'"other", W/{tag}', 304),
        ("If-None-Match", "*", 304),
        ("If-None-Match", '"other"', 200),
        # Two lists may be signed within one second: a date tells nobody that this is the one it has.
        ("If-Modified-Since", "Fri, 20 Nov 2026 12:00:00 GMT", 200),
    ):
        async with session.get(url, headers={header: value}) as answer:
            assert (answer.status, answer.headers["ETag"]) == (status, tag), value
            assert await answer.read() == (b"" if status == 304 else b"list")


async def test_a_status_is_asked_for_by_post(base: str, session: ClientSession) -> None:
    headers = {"Content-Type": "application/ocsp-request"}
    async with session.post(base + "/ocsp", data=b"this", headers=headers) as answer:
        assert (answer.status, await answer.read()) == (200, b"status of this")
        assert answer.headers["Content-Type"] == "application/ocsp-response"
        assert answer.headers["Cache-Control"] == "no-store"
    async with session.post(base + "/ocsp", data=b"this", headers={"Content-Type": "text/plain"}) as answer:
        assert answer.status == 415
    async with session.post(base + "/ocsp", data=bytes(5000), headers=headers) as answer:
        assert answer.status == 413


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("dGhpcw==", b"this"),
        ("dGhpcw%3D%3D", b"this"),
        ("/dGhpcw==", b"this"),
        ("%2B/8%3d", b"\xfb\xff"),
        ("+/8=?x", b"\xfb\xff"),
        ("", b""),
        ("dGhpcw", b""),
        ("???", b""),
        ("%ff", b""),
    ],
)
async def test_a_status_is_asked_for_by_get(base: str, session: ClientSession, path: str, asked: bytes) -> None:
    ASKED.clear()
    async with session.get(URL(f"{base}/ocsp/{path}", encoded=True)) as answer:
        assert (answer.status, await answer.read()) == (200, b"status of " + asked)
        assert 290 <= int(answer.headers["Cache-Control"].removeprefix("max-age=")) <= 300
        assert "ETag" in answer.headers
    assert [asked] == ASKED


async def test_the_responder_says_that_it_takes_posts(base: str, session: ClientSession) -> None:
    async with session.put(base + "/ocsp", data=b"this") as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD, POST")


async def test_a_status_for_once_is_not_kept(base: str, session: ClientSession) -> None:
    async with session.get(base + "/ocsp/b25jZQ==") as answer:
        assert (await answer.read(), answer.headers["Cache-Control"]) == (b"status of once", "no-cache")


async def test_a_client_that_names_no_host_is_answered(base: str) -> None:
    """HTTP/1.0 as older programs speak it; a page on the internet cannot make a browser do that."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(base.rpartition(":")[2]))
    writer.write(b"GET /root.der HTTP/1.0\r\n\r\n")
    assert (await reader.read()).endswith(b"\r\n\r\nroot")
    writer.close()
    await writer.wait_closed()
