"""CRLs, the root certificate and OCSP over plain HTTP on 127.0.0.1, at the addresses that certificates name.

Owns the paths, the caching and who may ask; the page at `/` is drawn by `pki_page`. Refuses every Host that is not this
machine's own (a page on the internet may point its name at 127.0.0.1) and every other path. It signs nothing:
`documents` and `status` give what is current at each request, so a list is new in time also after a long sleep of the
machine.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from hashlib import sha256
from urllib.parse import unquote

from aiohttp import web

from devtls.http.answers.layout import preferred_form
from devtls.web.pki_page import POLICY, RootCard, render_html, render_text
from devtls.web.server_name import name_server

_OWN_HOSTS = frozenset({"127.0.0.1", "localhost"})
_OCSP = "/ocsp"
_REQUEST_TYPE = "application/ocsp-request"
# Anybody on this machine may ask, and each answer costs a signature.
_MAX_REQUEST_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Document:
    """One thing to download; `expires` is when it should be asked for again, None = it is not to be kept unasked.

    `modified` is when it was signed.
    """

    content: bytes
    content_type: str
    expires: datetime | None = None
    modified: datetime | None = None

    @property
    def etag(self) -> str:
        """The name of this very content."""
        return sha256(self.content).hexdigest()[:32]


Documents = Callable[[], Awaitable[dict[str, Document]]]
Status = Callable[[bytes], Awaitable[Document]]


def make_pki_app(documents: Documents, root: Callable[[], RootCard], status: Status) -> web.Application:
    """Return the app; `documents` gives path -> Document, `root` what the page says, `status` answers OCSP requests."""

    async def handle(request: web.Request) -> web.Response:
        # DNS rebinding: a page on another site must not read this one. 421 is RFC 9110 15.5.20.
        if not _is_for_us(request):
            return web.Response(status=421, text="This is not that host.\n")
        if request.path == _OCSP and request.method == "POST":
            return await _posted_status(request, status)
        if request.path.startswith(_OCSP + "/") and request.method in ("GET", "HEAD"):
            # raw_path: base64 holds `/` and `+`, which decoding would have changed.
            return _download(request, await status(_request_in_path(request.raw_path)))
        if request.path == _OCSP and request.method not in ("GET", "HEAD"):
            return web.Response(status=405, headers={"Allow": "GET, HEAD, POST"}, text="Only GET, HEAD and POST.\n")
        if request.method not in ("GET", "HEAD"):
            return web.Response(status=405, headers={"Allow": "GET, HEAD"}, text="Only GET and HEAD.\n")
        if request.path == "/":
            return _page(request, root())
        document = (await documents()).get(request.path)
        if document is None:
            return web.Response(status=404, text="There is nothing here.\n")
        return _download(request, document)

    app = web.Application(client_max_size=_MAX_REQUEST_BYTES)
    app.on_response_prepare.append(name_server)
    app.router.add_route("*", "/{path:.*}", handle)
    return app


def _is_for_us(request: web.Request) -> bool:
    host = request.headers.get("Host")
    if host is None:  # HTTP/1.0, which no browser speaks: `openssl ocsp` before 3.0
        return True
    return host in _OWN_HOSTS or host.rpartition(":")[0] in _OWN_HOSTS


async def _posted_status(request: web.Request, status: Status) -> web.Response:
    """Answer a request in a body (RFC 6960 appendix A.1)."""
    if request.content_type != _REQUEST_TYPE:
        return web.Response(status=415, text=f"An OCSP request has the type {_REQUEST_TYPE}.\n")
    document = await status(await request.read())
    # A response to POST answers this request alone.
    headers = {"Content-Type": document.content_type, "Cache-Control": "no-store"}
    return web.Response(body=document.content, headers=headers)


def _request_in_path(raw_path: str) -> bytes:
    """Return the request that a path holds (RFC 6960 appendix A.1: base64, percent-encoded); b"" for anything else."""
    # A client that was given the address with a slash at its end adds a second one; base64 of DER begins with M.
    text = unquote(raw_path.partition("?")[0].removeprefix(_OCSP)).lstrip("/")
    try:
        return b64decode(text, validate=True)
    except ValueError:
        return b""


def _download(request: web.Request, document: Document) -> web.Response:
    headers = {"Content-Type": document.content_type, "X-Content-Type-Options": "nosniff", "ETag": f'"{document.etag}"'}
    if document.modified is not None:
        headers["Last-Modified"] = format_datetime(document.modified.astimezone(UTC), usegmt=True)
    if document.expires is None:
        headers["Cache-Control"] = "no-cache"
    else:
        left_s = max(0, int((document.expires - datetime.now(UTC)).total_seconds()))
        headers["Cache-Control"] = f"max-age={left_s}"
        headers["Expires"] = format_datetime(document.expires.astimezone(UTC), usegmt=True)
    if _has_it(request, document):
        return web.Response(status=304, headers=headers)
    return web.Response(body=document.content, headers=headers)


def _has_it(request: web.Request, document: Document) -> bool:
    """Say whether the client holds this very content already.

    Its date says nothing (RFC 9110 8.8.2.2): two lists may be signed within one second.
    """
    return any(tag.value in (document.etag, "*") for tag in request.if_none_match or ())


def _page(request: web.Request, root: RootCard) -> web.Response:
    headers = {
        "Cache-Control": "no-cache",
        # Accept chooses text or HTML, User-Agent the guide that is open.
        "Vary": "Accept, User-Agent",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    if preferred_form(request.headers.get("Accept", "").encode("utf-8", "surrogateescape")) != "html":
        return web.Response(text=render_text(root, f"http://{request.host}"), headers=headers)
    page = render_html(root, request.headers.get("User-Agent", ""))
    headers["Content-Security-Policy"] = POLICY
    return web.Response(body=page, content_type="text/html", charset="utf-8", headers=headers)
