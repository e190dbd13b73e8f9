"""Renders one of our own responses: a page for browsers, JSON for programs, one line of text for every other client.

Owns the choice between the three (RFC 9110 12.5.1), and the last two; `html` draws the page.
"""

from __future__ import annotations

import re

from devtls.http.answers.content import ERROR_HEADER, LocalResponse, PageText, printable
from devtls.http.events import Request
from devtls.http.headers import get


def draw(text: PageText, accept: bytes, *extra: tuple[bytes, bytes]) -> LocalResponse:
    """Return `text` in the form that an Accept value asks for, with `extra` fields."""
    match preferred_form(accept):
        case "html":
            kind, (body, policy) = b"text/html; charset=utf-8", _page(text)
            extra = (*extra, (b"Content-Security-Policy", policy))
        case "json":
            kind, body = b"application/json", _json(text)
        case _:
            kind, body = b"text/plain; charset=utf-8", _line(text)
    headers = [
        (b"Content-Type", kind),
        (b"Content-Length", b"%d" % len(body)),
        # A browser that keeps an error page would show it when the app is up.
        (b"Cache-Control", b"no-store"),
        # Text from the network must not be taken for markup.
        (b"X-Content-Type-Options", b"nosniff"),
        (b"Referrer-Policy", b"no-referrer"),
        (ERROR_HEADER, text.code.encode()),
        *extra,
    ]
    return LocalResponse(text.status, headers, body)


POLL_HEADER = b"Devtls-Poll"
"""The request field of our own 502 page when it looks whether the app is up; the app never sees it."""

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
    # Among equals the page: a browser's own order, too.
    return next(form for form in _FORM_ORDER if weights[form] == best) if best else "text"


_WEIGHT = re.compile(r"q[ \t]*=[ \t]*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\Z")


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        if found := _WEIGHT.match(parameter):
            return float(found[1])
    return 1.0


def asks_for_page(request: Request) -> bool:
    """Say whether a person waits for the answer, to whom a page of ours says more than a tab that loads."""
    if get(request.headers, POLL_HEADER.lower()) is not None:
        return True  # of such a page, which asks again by itself
    mode = get(request.headers, b"sec-fetch-mode")  # Fetch Metadata: every browser since 2023
    if mode is not None:
        return mode.lower() == b"navigate"
    accept = get(request.headers, b"accept") or b""
    return request.method in (b"GET", b"HEAD") and preferred_form(accept) == "html"


def _line(text: PageText) -> bytes:
    rows = ", ".join(f"{row.label} ({row.detail})" for row in text.rows)
    if text.rows_title:
        told = [text.message, text.hint, f"{text.rows_title} {rows}."]
    else:
        told = [f"{text.message} {rows}." if rows else text.message, text.hint]
    meant = f"Did you mean {text.meant}?" if text.meant else ""
    line = " ".join(part for part in (f"devtls: {text.status} {text.title}.", meant, *told) if part)
    return (printable(line) + "\n").encode("utf-8", "replace")


def _page(text: PageText) -> tuple[bytes, bytes]:
    from devtls.http.answers.html import POLICY, render  # 2 ms that no start needs

    return render(text), POLICY


def _json(text: PageText) -> bytes:
    texts = {"title": text.title, "message": text.message, "hint": text.hint}
    from json import dumps  # 1 ms that no start needs

    return dumps({"error": text.code, "status": text.status, **texts, **text.facts}).encode() + b"\n"
