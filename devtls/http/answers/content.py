"""The content of one of our own responses, before it becomes a page, JSON or a line of text.

Owns the values that `pages` fills in and `html` and `layout` render. Texts are kept as the network said them: each
renderer escapes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from devtls.http.events import Headers

ERROR_HEADER = b"Devtls-Error"
"""The field of each of our own error responses: by it a program, or our page, tells them from the app's."""


class LocalResponse(msgspec.Struct, frozen=True):
    """A whole response of ours; to HEAD the caller sends it without the body and keeps Content-Length."""

    status: int
    headers: Headers
    body: bytes


class PageRow(msgspec.Struct, frozen=True):
    """One row of a page's table; with `href` the label is a link."""

    label: str
    detail: str
    href: str = ""


class PageText(msgspec.Struct, frozen=True):
    """The texts of one response; `code` is the value of Devtls-Error, backticks in texts mark code."""

    status: int
    code: str
    title: str
    message: str
    hint: str = ""
    rows: Sequence[PageRow] = ()
    facts: Mapping[str, object] = msgspec.field(default_factory=dict)
    """What the JSON rendering holds beyond the texts."""
    reloads: bool = False
    """The page looks again and again whether the app is up."""


def printable(text: str) -> str:
    """Return `text` with control and direction characters written out, which could forge what a reader sees."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
