"""How one of our own answers looks: a page for browsers, JSON for programs, one line of text for everybody else.

Owns the choice between the three (RFC 9110 12.5.1) and two of them; the page is drawn by `page_html`. Every text is
escaped where it is drawn: callers hand over what the network said as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from devtls.http.events import Headers

ERROR_HEADER = b"Devtls-Error"
"""Stands in each of our own error answers and is how a program, or our page, tells them from the app's."""


class Answer(msgspec.Struct, frozen=True):
    """A whole answer of ours; to HEAD the caller sends it without the body and keeps Content-Length."""

    status: int
    headers: Headers
    body: bytes


class Row(msgspec.Struct, frozen=True):
    """One line of a notice's table; with `href` the label is a link."""

    label: str
    detail: str
    href: str = ""


class Notice(msgspec.Struct, frozen=True):
    """What one answer has to say; `code` is the value of Devtls-Error, backticks in texts mark code."""

    status: int
    code: str
    title: str
    message: str
    hint: str = ""
    rows: Sequence[Row] = ()
    facts: Mapping[str, object] = msgspec.field(default_factory=dict)
    """What the JSON rendering holds beyond the texts."""
    reloads: bool = False
    """The page looks again and again whether the app is up."""


def draw(notice: Notice, accept: bytes, *extra: tuple[bytes, bytes]) -> Answer:
    """Return `notice` in the form that an Accept value asks for, with `extra` fields."""
    match preferred_form(accept):
        case "html":
            from devtls.http.answers.html import POLICY, render  # 3 ms that no request for a route has to wait for

            kind, body = b"text/html; charset=utf-8", render(notice)
            extra = (*extra, (b"Content-Security-Policy", POLICY))
        case "json":
            kind, body = b"application/json", _json(notice)
        case _:
            kind, body = b"text/plain; charset=utf-8", _line(notice)
    headers = [
        (b"Content-Type", kind),
        (b"Content-Length", b"%d" % len(body)),
        (b"Cache-Control", b"no-store"),
        (b"X-Content-Type-Options", b"nosniff"),
        (b"Referrer-Policy", b"no-referrer"),
        (ERROR_HEADER, notice.code.encode()),
        *extra,
    ]
    return Answer(notice.status, headers, body)


_FORMS = {
    "text/html": "html",
    "application/xhtml+xml": "html",
    "application/json": "json",
    "text/plain": "text",
    "text/*": "text",
    "*/*": "text",
}
_FORM_ORDER = ("html", "json", "text")


def preferred_form(accept: bytes) -> str:
    """Return "html", "json" or "text"; a wildcard alone (curl, a script's fetch) means text."""
    weights = dict.fromkeys(_FORM_ORDER, 0.0)
    for member in accept.decode("latin-1").lower().split(","):
        media_type, *parameters = (part.strip() for part in member.split(";"))
        form = "json" if media_type.endswith("+json") else _FORMS.get(media_type)
        if form is not None:
            weights[form] = max(weights[form], _weight(parameters))
    best = max(weights.values())
    return next(form for form in _FORM_ORDER if weights[form] == best) if best else "text"


_WEIGHT = re.compile(r"q[ \t]*=[ \t]*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\Z")


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        if found := _WEIGHT.match(parameter):
            return float(found[1])
    return 1.0


def printable(text: str) -> str:
    """Return `text` with control and direction characters written out, which could forge what a reader sees."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _line(notice: Notice) -> bytes:
    rows = ", ".join(f"{row.label} ({row.detail})" for row in notice.rows)
    message = f"{notice.message} {rows}." if rows else notice.message
    text = f"devtls: {notice.status} {notice.title}. {message} {notice.hint}"
    return (printable(text.rstrip()) + "\n").encode("utf-8", "replace")


def _json(notice: Notice) -> bytes:
    import json

    texts = {"title": notice.title, "message": notice.message, "hint": notice.hint}
    return json.dumps({"error": notice.code, "status": notice.status, **texts, **notice.facts}).encode() + b"\n"
