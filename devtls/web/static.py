"""One directory over HTTP: files, index.html, redirects to directories.

Owns the way from a request's path to a file. Refuses whatever lies outside the directory once links are followed, `..`
and slashes in percent-encoding, and listing a directory. Nothing is cached here: the next request sees the next edit.
"""

from __future__ import annotations

import asyncio
import mimetypes
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote_to_bytes

from aiohttp import web

from devtls.web.file_response import FileFacts, respond_with_file
from devtls.web.server_name import name_server

# A thread call per chunk: large enough that the calls do not count, small enough for memory.
_CHUNK_BYTES = 262_144
_INDEX = "index.html"
# Backslash and colon are separators on Windows (drives, alternate streams).
_FORBIDDEN = frozenset("/\0\\:" if os.name == "nt" else "/\0")
# O_BINARY: Windows would translate line ends; O_NONBLOCK: open of a FIFO waits for a writer (fifo(7)).
_NO_WAIT = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)

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

_NOT_FOUND = (
    "<!doctype html><meta charset=utf-8><meta name=viewport content='width=device-width'><title>Not found</title>"
    "<style>body{font:1rem/1.5 system-ui,sans-serif;margin:15vh auto;max-width:32rem;padding:0 1rem;"
    "color-scheme:light dark}</style><h1>Not found</h1><p>This folder has no file of that name.</p>"
)


class FileMissing(Exception):
    """There is no such file, or it is none that may be served."""


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


def find(root: Path, raw_path: str) -> OpenedFile | DirectoryRedirect:
    """Return the file for a raw request path; blocks. Raises NotHere."""
    segments = _segments(raw_path)
    directory = raw_path.endswith("/")
    path = root.joinpath(*segments)
    try:
        home, real = root.resolve(strict=True), path.resolve(strict=True)
        if not real.is_relative_to(home):
            raise FileMissing
        if real.is_dir():
            if not directory and segments:
                # `./`: a first segment with a colon would be read as a scheme (RFC 3986 4.2).
                return DirectoryRedirect(f"./{raw_path.rpartition('/')[2]}/")
            # Resolved on its own: index.html may be a link that leads out.
            real = (path / _INDEX).resolve(strict=True)
            if not real.is_relative_to(home):
                raise FileMissing
        elif directory:
            raise FileMissing
        # The resolved path, not the written one: a link that is swapped after the check leads nowhere new.
        return _open(real, content_type_of((path / _INDEX) if path.is_dir() else path))
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: links in a circle, before Python 3.13
        raise FileMissing from error


def _segments(raw_path: str) -> list[str]:
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
    return segments


def _open(path: Path, content_type: str) -> OpenedFile:
    descriptor = os.open(path, os.O_RDONLY | _NO_WAIT)  # a FIFO must not hold a thread for ever
    try:
        # Of the descriptor, not of the path, which may be another file by now.
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise FileMissing
        return OpenedFile(os.fdopen(descriptor, "rb"), FileFacts(status.st_size, status.st_mtime_ns), content_type)
    except BaseException:
        os.close(descriptor)
        raise


def content_type_of(path: Path) -> str:
    """Return the Content-Type that a file's name stands for."""
    kind = _TYPES.get(path.suffix.lower())
    if kind is None:
        guessed, packed = mimetypes.guess_type(path.name)
        # app.js.gz is no script: a browser that is not told of an encoding gets an archive.
        kind = _PACKED.get(packed) if packed else guessed
    kind = kind or "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") or kind in _WITH_CHARSET else kind


def make_static_app(root: Path) -> web.Application:
    """Return the app that serves `root`."""

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.method not in ("GET", "HEAD"):
            # RFC 9110 15.5.6: 405 names what is allowed.
            return web.Response(status=405, headers={"Allow": "GET, HEAD"}, text="This is a static site.\n")
        raw_path, _, query = request.raw_path.partition("?")
        try:
            found = await asyncio.to_thread(find, root, raw_path)
        except FileMissing:
            return web.Response(status=404, text=_NOT_FOUND, content_type="text/html")
        if isinstance(found, DirectoryRedirect):
            # 307, because browsers remember 301 and 308 long after the folder is gone.
            location = found.location + (f"?{query}" if query else "")
            return web.Response(status=307, headers={"Location": location, "Cache-Control": "no-cache"})
        try:
            return await _send(request, found)
        finally:
            await asyncio.to_thread(found.file.close)

    app = web.Application()
    app.on_response_prepare.append(name_server)
    app.router.add_route("*", "/{path:.*}", handle)
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
