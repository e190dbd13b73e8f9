"""The response to a request for one file: whole, partial, not modified, or a failed condition (RFC 9110 13 and 14).

Owns validators, conditions and ranges; pure. aiohttp's own FileResponse takes an ETag in If-Range for no condition at
all, answers several ranges with 416, and prefers a stale `app.js.gz` to the `app.js` that was just edited.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime

_RANGE = re.compile(r"bytes=[ \t]*(\d*)-(\d*)[ \t]*", re.IGNORECASE)
_TAG = re.compile(r'(W/)?("[^"]*")')
# 10**18 fits a signed 64-bit offset, and int() of a long text is quadratic.
_MOST_DIGITS = 18


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A file as it is now; `modified_ns` and `changed_ns` count from 1970."""

    size: int
    modified_ns: int
    changed_ns: int = 0
    inode: int = 0

    @property
    def etag(self) -> str:
        """A strong validator: another one after every change that the file system noticed."""
        # Builds that are reproducible give every version of a file the same mtime; no program can set the ctime.
        return f'"{self.modified_ns:x}-{self.changed_ns:x}-{self.inode:x}-{self.size:x}"'

    @property
    def modified_s(self) -> int:
        """Whole seconds, as HTTP dates have them."""
        return self.modified_ns // 1_000_000_000

    @property
    def last_modified(self) -> str:
        """The HTTP date."""
        return formatdate(self.modified_s, usegmt=True)


@dataclass(frozen=True, slots=True)
class FileResponse:
    """The status, and which bytes follow: `length` of them from `start`."""

    status: int
    start: int = 0
    length: int = 0
    content_range: str = ""


def respond_with_file(headers: Mapping[str, str], facts: FileFacts) -> FileResponse:
    """Return what a GET or HEAD with `headers` gets, in the order of RFC 9110 13.2.2."""
    if not _preconditions_hold(headers, facts):
        return FileResponse(412)
    if _not_modified(headers, facts):
        return FileResponse(304)
    wanted = headers.get("Range")
    if wanted is None or not _range_counts(headers.get("If-Range"), facts):
        return FileResponse(200, 0, facts.size)
    return _part(wanted, facts.size)


def _preconditions_hold(headers: Mapping[str, str], facts: FileFacts) -> bool:
    if (tags := headers.get("If-Match")) is not None:
        # Strong comparison (RFC 9110 13.1.1).
        return tags.strip() == "*" or any(not weak and tag == facts.etag for weak, tag in _TAG.findall(tags))
    # Ignored beside If-Match (RFC 9110 13.1.4), and when it is no date.
    since = _date(headers.get("If-Unmodified-Since"))
    return since is None or facts.modified_s <= since


def _not_modified(headers: Mapping[str, str], facts: FileFacts) -> bool:
    if (tags := headers.get("If-None-Match")) is not None:
        # Weak comparison (RFC 9110 13.1.2).
        return tags.strip() == "*" or any(tag == facts.etag for _, tag in _TAG.findall(tags))
    # Ignored beside If-None-Match (RFC 9110 13.1.3).
    since = _date(headers.get("If-Modified-Since"))
    return since is not None and facts.modified_s <= since


def _range_counts(condition: str | None, facts: FileFacts) -> bool:
    # RFC 9110 13.1.5: a weak tag never matches, a date must be the very one that we sent.
    return condition is None or condition.strip() == facts.etag or _date(condition) == facts.modified_s


def _part(wanted: str, size: int) -> FileResponse:
    found = _RANGE.fullmatch(wanted)
    if found is None or found[1] + found[2] == "" or max(len(found[1]), len(found[2])) > _MOST_DIGITS:
        return FileResponse(200, 0, size)  # other units, several ranges, nonsense: ignored (RFC 9110 14.2)
    if found[1]:
        start, end = int(found[1]), int(found[2]) if found[2] else size - 1
        # An invalid range is ignored, not unsatisfiable (RFC 9110 14.1.1).
        if found[2] and end < start:
            return FileResponse(200, 0, size)
    else:
        # A suffix: `-500` means the last 500 bytes, or all of a shorter file (RFC 9110 14.1.2).
        start, end = max(0, size - int(found[2])), size - 1
    end = min(end, size - 1)
    if start > end:
        # RFC 9110 14.4: the length tells the client what it could ask for.
        return FileResponse(416, content_range=f"bytes */{size}")
    return FileResponse(206, start, end - start + 1, f"bytes {start}-{end}/{size}")


def _date(value: str | None) -> int | None:
    if value is None:
        return None
    try:
        moment = parsedate_to_datetime(value)
        return int(moment.timestamp())
    except (ValueError, TypeError, OverflowError):
        return None
