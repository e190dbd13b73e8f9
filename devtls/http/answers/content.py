"""The content of one of our own responses, before it becomes a page, JSON or a line of text.

Owns the values that `pages` fills in and `html` and `layout` render. Texts are kept as the network said them: each
renderer escapes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from devtls.http.events import Data, EndOfMessage, Headers, Response

ERROR_HEADER = b"Devtls-Error"
"""The field of each of our own error responses: by it a program, or our page, tells them from the app's."""


class LocalResponse(msgspec.Struct, frozen=True):
    """A whole response of ours; to HEAD it is sent without the body and keeps its Content-Length."""

    status: int
    headers: Headers
    body: bytes

    def events(self, stream_id: int, method: bytes) -> list[Response | Data | EndOfMessage]:
        """Return the response to a request of that method, as it is sent."""
        bodiless = method == b"HEAD" or not self.body
        head = Response(stream_id, self.status, list(self.headers), b"", 0 if bodiless else len(self.body))
        body = [] if bodiless else [Data(stream_id, self.body)]
        return [head, *body, EndOfMessage(stream_id)]


class PageRow(msgspec.Struct, frozen=True):
    """One row of a page's table; with `href` the label is a link. `others` are labels and links beside the first."""

    label: str
    detail: str
    href: str = ""
    others: tuple[tuple[str, str], ...] = ()


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
    meant: str = ""
    """An address that was meant, most likely."""
    rows_title: str = ""
    """The title of the table, which then comes last: what to do is read first."""
    reloads: bool = False
    """The page looks again and again whether the app is up."""


class RouteLine(msgspec.Struct, frozen=True):
    """One route for people: its URL (a wildcard keeps its star), where it goes, and its other URLs."""

    url: str
    target: str
    others: tuple[str, ...] = ()

    @property
    def urls(self) -> tuple[str, ...]:
        """All of them."""
        return self.url, *self.others


def printable(text: str) -> str:
    """Return `text` with control and direction characters written out, which could forge what a reader sees."""
    # Escape sequences would act in a terminal, bidirectional ones turn a name around (CVE-2021-42574).
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
