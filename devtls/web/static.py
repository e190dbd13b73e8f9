"""A static route over HTTP: files, index.html, redirects to directories, listings, the index of a single-page app.

Owns the way from a request's path to a response. Refuses `..` and slashes in percent-encoding; `static_root` opens the
files. Nothing is cached here: the next request sees the next edit.
"""

from __future__ import annotations

import asyncio
import mimetypes
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import BinaryIO
from urllib.parse import unquote, unquote_to_bytes

from aiohttp import web

from devtls.config import StaticTarget
from devtls.http.answers.layout import preferred_form
from devtls.http.answers.pages import file_not_found
from devtls.web.file_response import FileFacts, respond_with_file
from devtls.web.listing import read_entries, render_listing
from devtls.web.server_name import name_server
from devtls.web.static_root import Absence, FileMissing, StaticRoot

# A thread call per chunk: large enough that the calls do not count, small enough for memory.
_CHUNK_BYTES = 262_144
_INDEX = "index.html"
# Backslash and colon are separators on Windows (drives, alternate streams).
_FORBIDDEN = frozenset("/\0\\:" if os.name == "nt" else "/\0")

# What the machine's own tables get wrong or lack, and browsers insist on (module scripts, WebAssembly streaming).
_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".htm": "text/html",
    ".ico": "image/x-icon",
    ".js": "text/javascript",
    ".json": "application/json",
    ".map": "application/json",
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
    ".xml": "application/xml",
}
_PACKED = {
    "gzip": "application/gzip",
    "br": "application/x-brotli",
    "bzip2": "application/x-bzip2",
    "xz": "application/x-xz",
}
_WITH_CHARSET = frozenset({"application/json", "application/manifest+json", "image/svg+xml", "application/xml"})


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """A file ready to be sent."""

    file: BinaryIO
    facts: FileFacts
    content_type: str


@dataclass(frozen=True, slots=True)
class DirectoryRedirect:
    """The path is a directory's and lacks its slash; `location` is relative, so that any prefix in front stays."""

    location: str


@dataclass(frozen=True, slots=True)
class DirectoryListing:
    """A directory without an index that may be listed: `segments` lead to it."""

    segments: tuple[str, ...]


def find(site: StaticTarget, root: StaticRoot, raw_path: str) -> OpenedFile | DirectoryRedirect | DirectoryListing:
    """Return the file for a raw request path; blocks. Raises FileMissing."""
    segments = _segments(raw_path)
    descriptor = root.open(segments)
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            if raw_path.endswith("/"):
                raise FileMissing
            return _opened(os.dup(descriptor), content_type_of(segments[-1]))
    finally:
        os.close(descriptor)
    if segments and not raw_path.endswith("/"):
        # `./`: a first segment with a colon would be read as a scheme (RFC 3986 4.2).
        return DirectoryRedirect(f"./{raw_path.rpartition('/')[2]}/")
    try:
        return _open_index(root, segments)
    except FileMissing:
        if site.listing:
            return DirectoryListing(segments)
        raise FileMissing(Absence.NO_INDEX) from None


def _open_index(root: StaticRoot, segments: tuple[str, ...]) -> OpenedFile:
    return _opened(root.open((*segments, _INDEX)), content_type_of(_INDEX))


def _segments(raw_path: str) -> tuple[str, ...]:
    # Split before it is decoded: %2F inside a segment must not become a separator.
    segments = [os.fsdecode(unquote_to_bytes(part)) for part in raw_path.split("/") if part]
    for segment in segments:
        if (
            segment in (".", "..")
            or "/" in segment
            or "\0" in segment
            or (os.name == "nt" and set(segment) & set("\\:"))
        ):
            raise FileMissing
    return tuple(segments)


def _opened(descriptor: int, content_type: str) -> OpenedFile:
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise FileMissing
        facts = FileFacts(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
        return OpenedFile(os.fdopen(descriptor, "rb"), facts, content_type)
    except BaseException:
        os.close(descriptor)
        raise


def content_type_of(name: str) -> str:
    """Return the Content-Type that a file's name stands for."""
    kind = _TYPES.get(PurePath(name).suffix.lower())
    if kind is None:
        guessed, packed = mimetypes.guess_type(name)
        # app.js.gz is no script: a browser that is not told of an encoding gets an archive.
        kind = _PACKED.get(packed) if packed else guessed
    kind = kind or "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") or kind in _WITH_CHARSET else kind


class StaticSite:
    """The responses of one static route; `report` takes a sentence for the log."""

    def __init__(self, target: StaticTarget, never_served: Sequence[Path], report: Callable[[str], None]) -> None:
        self._target = target
        self._root = StaticRoot(target, never_served)
        self._report = report

    async def respond(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        if request.method not in ("GET", "HEAD"):
            # RFC 9110 15.5.6: 405 names what is allowed.
            return web.Response(status=405, headers={"Allow": "GET, HEAD"}, text="This is a static site.\n")
        raw_path, _, query = request.raw_path.partition("?")
        try:
            found = await asyncio.to_thread(self._find, raw_path, _is_navigation(request))
            if isinstance(found, DirectoryListing):
                return await self._list(request, found)
        except FileMissing as missing:
            return self._missing(request, raw_path, missing.absence)
        if isinstance(found, DirectoryRedirect):
            # 307, because browsers remember 301 and 308 long after the directory is gone.
            location = found.location + (f"?{query}" if query else "")
            return web.Response(status=307, headers={"Location": location, "Cache-Control": "no-cache"})
        try:
            return await _send(request, found)
        finally:
            await asyncio.to_thread(found.file.close)

    def _find(self, raw_path: str, navigation: bool) -> OpenedFile | DirectoryRedirect | DirectoryListing:
        try:
            return find(self._target, self._root, raw_path)
        except FileMissing as missing:
            # The paths of a single-page app have no files; a script or an image that is missing must stay missing.
            if self._target.spa and navigation and missing.absence in (Absence.NO_FILE, Absence.NO_INDEX):
                try:
                    return _open_index(self._root, ())
                except FileMissing:
                    raise FileMissing(Absence.NO_PAGE) from None
            raise

    async def _list(self, request: web.Request, found: DirectoryListing) -> web.Response:
        entries = await asyncio.to_thread(read_entries, self._root, found.segments)
        path = "/".join(("", *found.segments, ""))
        listed = render_listing(path, entries, _accept(request))
        headers = {"Content-Type": listed.content_type, "Cache-Control": "no-cache", "Vary": "Accept"}
        if listed.policy:
            headers["Content-Security-Policy"] = listed.policy
        return web.Response(headers=headers, body=listed.body)

    def _missing(self, request: web.Request, raw_path: str, absence: Absence) -> web.Response:
        directory = self._target.directory
        if absence is Absence.ROOT_MOVED:
            what = f"{directory} is not served: it, or a folder above it, has become a link"
            self._report(f"{what}. devtls reload, or type the route again")
        message, hint = _WORDS[absence]
        path = unquote(raw_path)
        name = PurePath(directory).name or directory
        page = file_not_found(message.format(path=path, directory=name), hint, path, _accept(request))
        headers = [(key.decode(), value.decode()) for key, value in page.headers if key != b"Content-Length"]
        return web.Response(status=page.status, headers=headers, body=page.body)


_WORDS = {
    Absence.NO_FILE: ("The folder `{directory}` of this route has no file `{path}`.", ""),
    Absence.DOT_FILE: (
        "The path `{path}` is not served: one of its names begins with a dot.",
        "`dotfiles = true` on the route serves such files.",
    ),
    Absence.NO_INDEX: (
        "There is no index.html in `{path}` of the folder `{directory}`.",
        "`listing = true` on the route lists the files of such directories.",
    ),
    Absence.NO_PAGE: (
        "The folder `{directory}` has no index.html, which `spa = true` on the route sends for `{path}`.",
        "Build the app; it is served as soon as the file is there.",
    ),
    Absence.NO_ROOT: (
        "The folder `{directory}` of this route is not there.",
        "Build it, or name another one; it is served as soon as it is there.",
    ),
    Absence.ROOT_MOVED: (
        "The folder `{directory}`, or one above it, has become a link since devtls read the route: it is not followed.",
        "`devtls reload` follows the link of a route in devtls.toml, if it may; a route that was typed is typed again.",
    ),
}


def _is_navigation(request: web.Request) -> bool:
    # Browsers say it themselves (Fetch Metadata); what sends no such field says by its Accept that it wants a page.
    mode = request.headers.get("Sec-Fetch-Mode")
    return preferred_form(_accept(request)) == "html" if mode is None else mode == "navigate"


def _accept(request: web.Request) -> bytes:
    return request.headers.get("Accept", "").encode("latin-1", "replace")


def make_static_app(
    target: StaticTarget, never_served: Sequence[Path], report: Callable[[str], None]
) -> web.Application:
    """Return the app that serves one static target; `never_served` are devtls's own directories."""
    app = web.Application()
    app.on_response_prepare.append(name_server)
    app.router.add_route("*", "/{path:.*}", StaticSite(target, never_served, report).respond)
    return app


async def _send(request: web.Request, found: OpenedFile) -> web.StreamResponse:
    answer = respond_with_file(request.headers, found.facts)
    response = web.StreamResponse(status=answer.status)
    headers = response.headers
    headers["ETag"] = found.facts.etag
    headers["Last-Modified"] = found.facts.last_modified
    headers["Accept-Ranges"] = "bytes"
    headers["Cache-Control"] = "no-cache"  # ask again each time: a 304 is cheap, a stale page is not
    if answer.content_range:
        headers["Content-Range"] = answer.content_range
    # A 304 repeats no representation metadata but validators (RFC 9110 15.4.5).
    if answer.status != 304:
        response.content_length = answer.length
        headers["Content-Type"] = found.content_type
    await response.prepare(request)
    if request.method != "HEAD" and answer.length:
        await _send_bytes(response, found.file, answer.start, answer.length)
    await response.write_eof()
    return response


async def _send_bytes(response: web.StreamResponse, file: BinaryIO, start: int, length: int) -> None:
    def read(offset: int, length: int) -> bytes:
        file.seek(offset)
        return file.read(length)

    end = start + length
    while start < end:
        chunk = await asyncio.to_thread(read, start, min(_CHUNK_BYTES, end - start))
        if not chunk:  # the file shrank: the promised length cannot be kept, so the connection must break
            raise ConnectionResetError("the file became shorter while it was sent")
        await response.write(chunk)
        start += len(chunk)
