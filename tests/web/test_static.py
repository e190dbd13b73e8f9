"""A folder over HTTP: what is served, and above all what is not."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientError, ClientSession, web
from yarl import URL

from devtls.config import StaticTarget
from devtls.web import static
from devtls.web.static import content_type_of, make_static_app


@pytest.fixture
def site(tmp_path: Path) -> Path:
    root = tmp_path / "site"
    (root / "sub").mkdir(parents=True)
    (root / "index.html").write_text("<h1>home</h1>")
    (root / "sub/index.html").write_text("<h1>sub</h1>")
    (root / "app.js").write_text("fresh")
    (root / "app.js.gz").write_bytes(b"stale")
    (root / ".hidden").write_text("dot")
    (root / ".git").mkdir()
    (root / ".git/config").write_text("dot")
    (root / ".well-known").mkdir()
    (root / ".well-known/security.txt").write_text("known")
    (root / "git").symlink_to(".git")
    (root / "a b%.txt").write_text("spaced")
    (root / "empty").mkdir()
    (root / "inside").symlink_to("app.js")
    (root / "outside").symlink_to("../secret")
    (root / "away").symlink_to("..")
    (root / "circle").symlink_to("circle")
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "site-evil").mkdir()
    (tmp_path / "site-evil/x").write_text("secret")
    return root


@asynccontextmanager
async def serving(site: Path, **options: bool) -> AsyncIterator[str]:
    target = StaticTarget(str(site), root=os.path.realpath(site), **options)
    runner = web.AppRunner(make_static_app(target, [site.parent / "state"], print), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture
async def base(site: Path) -> AsyncIterator[str]:
    async with serving(site) as base:
        yield base


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with ClientSession(auto_decompress=False) as session:
        yield session


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/", b"<h1>home</h1>"),
        ("/sub/", b"<h1>sub</h1>"),
        ("/app.js", b"fresh"),
        ("/app.js?v=1", b"fresh"),
        ("/.well-known/security.txt", b"known"),
        ("/a%20b%25.txt", b"spaced"),
        ("/inside", b"fresh"),
    ],
)
async def test_files_are_served(base: str, session: ClientSession, path: str, body: bytes) -> None:
    async with session.get(URL(base + path, encoded=True)) as answer:
        assert (answer.status, await answer.read()) == (200, body)


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/outside",
        "/away/secret",
        "/away/",
        "/circle",
        "/empty/",
        "/app.js/",
        "/../secret",
        "/%2e%2e/secret",
        "/sub/..%2f..%2fsecret",
        "/..%2fsite-evil/x",
        "/%00",
        "/sub%2findex.html",
        "/" + "x" * 5000,
        "/%ff%fe",
        "/.hidden",
        "/%2ehidden",
        "/.git/config",
        "/git/config",
        "/.git",
    ],
)
async def test_everything_else_is_not_there(base: str, session: ClientSession, path: str) -> None:
    async with session.get(URL(base + path, encoded=True)) as answer:
        assert answer.status == 404
        assert answer.headers["Devtls-Error"] == "no-file"
        assert not {b"secret", b"dot"} & {await answer.read()}


async def test_a_pipe_is_no_file(base: str, session: ClientSession, site: Path) -> None:
    os.mkfifo(site / "pipe")
    async with session.get(base + "/pipe") as answer:
        assert answer.status == 404


async def test_a_directory_without_its_slash_is_redirected_relatively(base: str, session: ClientSession) -> None:
    async with session.get(base + "/sub?x=1", allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (307, "./sub/?x=1")


async def test_a_directory_named_like_a_scheme_stays_a_path(base: str, session: ClientSession, site: Path) -> None:
    (site / "http:x").mkdir()
    async with session.get(URL(base + "/http:x", encoded=True), allow_redirects=False) as answer:
        assert answer.headers["Location"] == "./http:x/"


async def test_head_has_the_length_and_no_body(base: str, session: ClientSession) -> None:
    async with session.head(base + "/app.js") as answer:
        assert (answer.status, answer.headers["Content-Length"]) == (200, "5")
        assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
        assert answer.headers["Server"] == "devtls"
        assert await answer.read() == b""


async def test_a_part_is_sent(base: str, session: ClientSession) -> None:
    async with session.get(base + "/app.js", headers={"Range": "bytes=1-2"}) as answer:
        assert (answer.status, await answer.read()) == (206, b"re")
        assert answer.headers["Content-Range"] == "bytes 1-2/5"


async def test_what_did_not_change_is_not_sent_again(base: str, session: ClientSession, site: Path) -> None:
    async with session.get(base + "/app.js") as answer:
        tag = answer.headers["ETag"]
    async with session.get(base + "/app.js", headers={"If-None-Match": tag}) as answer:
        assert (answer.status, await answer.read()) == (304, b"")
        assert "Content-Length" not in answer.headers
    (site / "app.js").write_text("edited")
    async with session.get(base + "/app.js", headers={"If-None-Match": tag}) as answer:
        assert (answer.status, await answer.read()) == (200, b"edited")


async def test_other_methods_are_refused(base: str, session: ClientSession) -> None:
    async with session.post(base + "/", data=b"x") as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")


async def test_a_large_file_arrives_whole(base: str, session: ClientSession, site: Path) -> None:
    content = os.urandom(1_000_000)
    (site / "large.bin").write_bytes(content)
    async with session.get(base + "/large.bin") as answer:
        assert await answer.read() == content


async def test_a_file_that_shrinks_while_it_is_sent_is_seen_to_be_cut(
    base: str, session: ClientSession, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (site / "log").write_text("x" * 100)
    monkeypatch.setattr(static, "_CHUNK_BYTES", 10)
    opened = static._opened

    def shrink(descriptor: int, content_type: str) -> static.OpenedFile:
        found = opened(descriptor, content_type)
        (site / "log").write_text("short")
        return found

    monkeypatch.setattr(static, "_opened", shrink)
    with pytest.raises(ClientError):
        async with session.get(base + "/log") as answer:
            await answer.read()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.HTML", "text/html; charset=utf-8"),
        ("a.mjs", "text/javascript; charset=utf-8"),
        ("a.wasm", "application/wasm"),
        ("a.svg", "image/svg+xml; charset=utf-8"),
        ("a.png", "image/png"),
        ("app.js.gz", "application/gzip"),
        ("a.unknown-kind", "application/octet-stream"),
        ("LICENSE", "application/octet-stream"),
    ],
)
def test_types(name: str, kind: str) -> None:
    assert content_type_of(name) == kind


async def test_dot_files_are_served_where_the_route_says_so(site: Path, session: ClientSession) -> None:
    async with serving(site, dotfiles=True) as base:
        for path in ("/.hidden", "/.git/config", "/git/config"):
            async with session.get(base + path) as answer:
                assert (answer.status, await answer.read()) == (200, b"dot")


PAGE = "text/html,application/xhtml+xml,*/*;q=0.8"


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/orders/7", {"Accept": PAGE}, 200),
        ("/orders/7", {"Accept": PAGE, "Sec-Fetch-Mode": "navigate"}, 200),
        ("/empty/", {"Accept": PAGE}, 200),
        ("/app.js/", {"Accept": PAGE}, 200),
        ("/missing.js", {"Accept": "*/*"}, 404),
        ("/missing.html", {"Accept": PAGE, "Sec-Fetch-Mode": "cors"}, 404),
        ("/.env", {"Accept": PAGE}, 404),
    ],
)
async def test_the_paths_of_a_single_page_app_are_its_index(
    site: Path, session: ClientSession, path: str, headers: dict[str, str], status: int
) -> None:
    async with serving(site, spa=True) as base, session.get(base + path, headers=headers) as answer:
        assert answer.status == status
        assert (await answer.read() == b"<h1>home</h1>") is (status == 200)


async def test_a_single_page_app_that_is_not_built_yet_is_not_found(site: Path, session: ClientSession) -> None:
    (site / "index.html").unlink()
    async with serving(site, spa=True) as base, session.get(base + "/orders", headers={"Accept": PAGE}) as answer:
        assert answer.status == 404
        assert "has no index.html" in (text := await answer.text())
        assert "spa = true" in text


@pytest.mark.parametrize(
    ("path", "options", "words"),
    [
        ("/nothing", {}, "The folder `site` of this route has no file `/nothing`."),
        ("/.env", {}, "`dotfiles = true`"),
        ("/empty/", {}, "`listing = true`"),
    ],
)
async def test_a_missing_file_is_explained_in_the_form_that_was_asked_for(
    base: str, session: ClientSession, path: str, options: dict[str, bool], words: str
) -> None:
    async with session.get(base + path) as answer:
        assert answer.content_type == "text/plain"
        assert words in await answer.text()
    async with session.get(base + path, headers={"Accept": PAGE}) as answer:
        page = await answer.text()
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert '<html lang="en">' in page
        assert "not from the app" in page
    async with session.get(base + path, headers={"Accept": "application/json"}) as answer:
        assert (await answer.json())["path"] == path


async def test_a_root_that_became_a_link_is_told_of(site: Path, session: ClientSession) -> None:
    told: list[str] = []
    target = StaticTarget(str(site), root=os.path.realpath(site))
    runner = web.AppRunner(make_static_app(target, [], told.append), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    site.rename(site.parent / "away")
    site.symlink_to("away")
    async with session.get(f"http://127.0.0.1:{runner.addresses[0][1]}/app.js") as answer:
        assert answer.status == 404
        assert "`devtls reload` follows the link" in await answer.text()
    assert told == [
        f"{site} is not served: it, or a folder above it, has become a link. devtls reload, or type the route again"
    ]
    await runner.cleanup()


async def test_a_file_of_the_same_size_and_time_has_another_tag(base: str, session: ClientSession, site: Path) -> None:
    """Reproducible builds give all their files one time."""
    tags = []
    for content in ("one", "two"):
        new = site / "new"
        new.write_text(content)
        os.utime(new, (0, 0))
        new.rename(site / "built.js")
        async with session.get(base + "/built.js") as answer:
            tags.append(answer.headers["ETag"])
    assert tags[0] != tags[1]
    assert not tags[0].startswith("W/")
