"""The listing of a directory of a static route, for `listing = true`: a page, JSON or lines of text.

Owns its words and look. Shows what would be served: no dot files unless they are, no links that lead out, nothing but
files and directories. Names come from the disk and are escaped.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from urllib.parse import quote

import msgspec

from devtls.http.answers.content import printable
from devtls.http.answers.html import escape, frame, static_policy
from devtls.http.answers.layout import preferred_form
from devtls.web.static_root import FileMissing, StaticRoot

_MOST_ENTRIES = 10_000
_UNITS = ("KiB", "MiB", "GiB", "TiB")
_STYLE = """
main{width:min(100%,56rem)}
table{width:100%;border-collapse:collapse;margin:1.25rem 0;font-variant-numeric:tabular-nums}
th{text-align:left;color:var(--soft);font-weight:600;font-size:.85rem}
td,th{padding:.45rem .75rem;border-bottom:1px solid var(--line)}
td:first-child{overflow-wrap:anywhere}
td+td,th+th{text-align:right;white-space:nowrap;color:var(--soft)}
"""
_POLICY = static_policy(_STYLE).decode()
_FOOTER = "This list comes from devtls, the HTTPS proxy on this machine: listing = true on the route."


class ListedFile(msgspec.Struct, frozen=True):
    """One file or directory; `size` in bytes, `modified` in ISO 8601 (UTC)."""

    name: str
    is_dir: bool
    size: int
    modified: str


class RenderedListing(msgspec.Struct, frozen=True):
    """The listing of one directory in one form."""

    content_type: str
    body: bytes
    policy: str = ""


def read_entries(root: StaticRoot, segments: Sequence[str]) -> list[ListedFile]:
    """Return what a directory of the root holds, directories first; blocks. Raises FileMissing."""
    descriptor = root.open(segments)
    try:
        # By descriptor where there is that: the path may lead to another directory by now.
        with os.scandir(descriptor if os.scandir in os.supports_fd else root.path(segments)) as found:
            names = [entry.name for entry in found]
    except OSError as error:  # a file by now
        raise FileMissing from error
    finally:
        os.close(descriptor)
    entries = list(_entries(root, segments, names))
    return sorted(entries, key=lambda entry: (not entry.is_dir, entry.name.casefold()))[:_MOST_ENTRIES]


def _entries(root: StaticRoot, segments: Sequence[str], names: Sequence[str]) -> Iterator[ListedFile]:
    for name in names:
        try:
            if not root.is_shown((name,)):
                continue
            status = root.path(root.resolve((*segments, name))).stat()
        except (FileMissing, OSError):
            # A link that leads out or nowhere, or a file that has just gone: a request for it would find nothing.
            continue
        if stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode):
            modified = datetime.fromtimestamp(status.st_mtime, UTC).isoformat(timespec="seconds")
            yield ListedFile(name, stat.S_ISDIR(status.st_mode), status.st_size, modified)


def render_listing(path: str, entries: Sequence[ListedFile], accept: bytes) -> RenderedListing:
    """Return the listing of `path`, which ends with a slash, in the form that an Accept value asks for."""
    match preferred_form(accept):
        case "html":
            return RenderedListing("text/html; charset=utf-8", _page(path, entries), _POLICY)
        case "json":
            return RenderedListing(
                "application/json", json.dumps([msgspec.to_builtins(entry) for entry in entries]).encode()
            )
        case _:
            names = "".join(f"{printable(_display(entry))}\n" for entry in entries)
            return RenderedListing("text/plain; charset=utf-8", names.encode("utf-8", "replace"))


def _page(path: str, entries: Sequence[ListedFile]) -> bytes:
    up = '<tr><td><a href="../">../</a></td><td></td><td></td></tr>' if path != "/" else ""
    rows = "".join(map(_row, entries))
    head = '<thead><tr><th scope="col">Name</th><th scope="col">Size</th><th scope="col">Modified</th></tr></thead>'
    body = f"<table>{head}<tbody>{up}{rows}</tbody></table>" if up or rows else "<p>This directory is empty.</p>"
    count = "1 entry" if len(entries) == 1 else f"{len(entries)} entries"
    return frame(path, count, body, footer=_FOOTER, style=_STYLE)


def _row(entry: ListedFile) -> str:
    # `./`: a first segment with a colon would be read as a scheme (RFC 3986 4.2).
    href = "./" + quote(os.fsencode(entry.name)) + ("/" if entry.is_dir else "")
    size = "" if entry.is_dir else _in_words(entry.size)
    modified = f'<time datetime="{entry.modified}">{entry.modified[:10]} {entry.modified[11:16]} UTC</time>'
    link = f'<a href="{escape(href)}">{escape(printable(_display(entry)))}</a>'
    return f"<tr><td>{link}</td><td>{size}</td><td>{modified}</td></tr>"


def _display(entry: ListedFile) -> str:
    return f"{entry.name}/" if entry.is_dir else entry.name


def _in_words(size: int) -> str:
    if size < 1024:
        return f"{size} B"
    power = min((size.bit_length() - 1) // 10, len(_UNITS))
    return f"{size / 1024**power:.1f} {_UNITS[power - 1]}"
