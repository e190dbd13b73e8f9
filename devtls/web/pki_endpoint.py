"""Revocation lists and the root certificate over plain HTTP on 127.0.0.1, where the certificates say they are.

Owns the paths and who may ask; the page at `/` is drawn by `pki_page`. Refuses every Host that is not this machine's
own (a page on the internet may point its name at 127.0.0.1) and every other path. It signs nothing: `documents` gives
what is current at each request, so a list is new in time also after a long sleep of the machine.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime

from aiohttp import web

from devtls.http.page_layout import preferred_form
from devtls.web.pki_page import POLICY, RootCard, render_html, render_text
from devtls.web.server_name import name_server

_OWN_HOSTS = frozenset({"127.0.0.1", "localhost"})


@dataclass(frozen=True, slots=True)
class Document:
    """One thing to download; `expires` is when a list's successor is due, None = it does not change."""

    content: bytes
    content_type: str
    expires: datetime | None = None


Documents = Callable[[], Awaitable[dict[str, Document]]]


def make_pki_app(documents: Documents, root: Callable[[], RootCard]) -> web.Application:
    """Return the app; `documents` gives path -> Document, `root` what the page says of the root."""

    async def handle(request: web.Request) -> web.Response:
        if request.host.rpartition(":")[0] not in _OWN_HOSTS and request.host not in _OWN_HOSTS:
            return web.Response(status=421, text="This is not that host.\n")
        if request.method not in ("GET", "HEAD"):
            return web.Response(status=405, headers={"Allow": "GET, HEAD"}, text="Only GET and HEAD.\n")
        if request.path == "/":
            return _page(request, root())
        document = (await documents()).get(request.path)
        if document is None:
            return web.Response(status=404, text="There is nothing here.\n")
        return _download(document)

    app = web.Application()
    app.on_response_prepare.append(name_server)
    app.router.add_route("*", "/{path:.*}", handle)
    return app


def _download(document: Document) -> web.Response:
    headers = {"Content-Type": document.content_type, "X-Content-Type-Options": "nosniff"}
    if document.expires is None:
        headers["Cache-Control"] = "no-cache"
    else:
        left_s = max(0, int((document.expires - datetime.now(UTC)).total_seconds()))
        headers["Cache-Control"] = f"max-age={left_s}"
        headers["Expires"] = format_datetime(document.expires.astimezone(UTC), usegmt=True)
    return web.Response(body=document.content, headers=headers)


def _page(request: web.Request, root: RootCard) -> web.Response:
    headers = {
        "Cache-Control": "no-cache",
        "Vary": "Accept, User-Agent",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    if preferred_form(request.headers.get("Accept", "").encode("utf-8", "surrogateescape")) != "html":
        return web.Response(text=render_text(root, f"http://{request.host}"), headers=headers)
    page = render_html(root, request.headers.get("User-Agent", ""))
    headers["Content-Security-Policy"] = POLICY
    return web.Response(body=page, content_type="text/html", charset="utf-8", headers=headers)
