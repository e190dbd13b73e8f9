"""Firefox's policies.json edited as text: a certificate named in it, and taken out again to the byte.

Owns finding `policies.Certificates.Install` in a file that somebody else wrote, and inserting and removing one path
there. Refuses to write the document anew: its order, spaces and line ends stay. Strategy: what we insert stands
directly behind an opening bracket; where we had to open the bracket ourselves a space follows it, which an insertion
into somebody's own brackets never makes, so that the way back is known without a copy of the file.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

_KEYS = ("policies", "Certificates", "Install")
_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()
_MARK = " "


class UnusablePolicies(ValueError):
    """The file is no JSON, or has something else where a list of certificates must be."""


@dataclass(frozen=True, slots=True)
class _Span:
    """A value in the text, from its first character to behind its last."""

    start: int
    end: int


def named_certificates(text: str) -> tuple[str, ...]:
    """Return the entries of `policies.Certificates.Install`. Raises UnusablePolicies."""
    value = _parse(text)
    for key in _KEYS:
        if not isinstance(value, dict):
            raise UnusablePolicies(f"{key} has no place in it")
        if key not in value:
            return ()
        value = value[key]
    if not isinstance(value, list):
        raise UnusablePolicies("Install is no list")
    return tuple(entry for entry in value if isinstance(entry, str))


def add_certificate(text: str, path: str) -> str:
    """Return the document with `path` as the first certificate; an empty text is a new document."""
    if not text.strip():
        return text + _opened(_KEYS, path) + "\n"
    # For its errors: below, every step takes the structure for granted.
    named_certificates(text)
    span = _value_at(text, 0)
    for index, key in enumerate(_KEYS):
        inner = _member(text, span, key)
        if inner is None:
            return _insert(text, span.start + 1, _member_text(_KEYS[index:], path))
        span = inner
    opened_by_us = text.startswith(_MARK + '"', span.start + 1)  # or just like it: the mark stays in front either way
    return _insert(text, span.start + 1 + len(_MARK) * opened_by_us, json.dumps(path))


def remove_certificate(text: str, path: str) -> str:
    """Return the document without `path`: what `add_certificate` was given, if nobody changed it since."""
    entry = json.dumps(path)
    if text.lstrip().startswith("{" + _MARK):
        whole = _opened(_KEYS, path) + "\n"
        if text.endswith(whole) and not text.removesuffix(whole).strip():
            return text.removesuffix(whole)
    for index in range(1, len(_KEYS)):
        removed = _remove(text, _member_text(_KEYS[index:], path))
        if removed is not None:
            return removed
    removed = _remove(text, _member_text(_KEYS, path))
    if removed is not None:
        return removed
    return _take_entry(text, entry)


def _member_text(keys: tuple[str, ...], path: str) -> str:
    """Return `"key": value`, the value opened by us."""
    first, *rest = keys
    return f"{json.dumps(first)}: {_opened(tuple(rest), path)}"


def _opened(keys: tuple[str, ...], path: str) -> str:
    if not keys:
        return f"[{_MARK}{json.dumps(path)} ]"
    return f"{{{_MARK}{_member_text(keys, path)} }}"


def _insert(text: str, at: int, item: str) -> str:
    follower = text[_skip(text, at)]
    return f"{text[:at]}{item}{'' if follower in ']}' else ', '}{text[at:]}"


def _remove(text: str, item: str) -> str | None:
    """Take out an item of ours that stands directly behind an opening bracket; None = there is none."""
    for bracket in ("{", "["):
        at = text.find(bracket + item)
        if at >= 0:
            start, end = at + 1, at + 1 + len(item)
            end += len(", ") if text.startswith(", ", end) else 0
            return text[:start] + text[end:]
    return None


def _take_entry(text: str, entry: str) -> str:
    """Take an entry out of the list wherever somebody moved it, with one comma."""
    span = _value_at(text, 0)
    for key in _KEYS:
        inner = _member(text, span, key)
        if inner is None:
            return text
        span = inner
    items = _items(text, span)
    for index, item in enumerate(items):
        # The same path may be written with other escapes by whoever formatted the file.
        if text[item.start : item.end] != entry and _parse(text[item.start : item.end]) != json.loads(entry):
            continue
        if index + 1 < len(items):
            after = _after_comma(text, item.end)
            return text[: item.start] + text[after:]
        before = items[index - 1].end if index else span.start + 1
        return text[:before] + text[item.end :]
    return text


def _after_comma(text: str, at: int) -> int:
    """Return where the next item's own text may begin: one space behind the comma is the comma's."""
    comma = _skip(text, at) + 1
    return comma + (text[comma] == " ")


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise UnusablePolicies(f"it is no JSON: {error}") from error


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _value_at(text: str, at: int) -> _Span:
    start = _skip(text, at)
    return _Span(start, _DECODER.raw_decode(text, start)[1])


def _member(text: str, outer: _Span, key: str) -> _Span | None:
    """Return the value under `key`, the last one as in every JSON reader."""
    found, at = None, _skip(text, outer.start + 1)
    while text[at] != "}":
        name, end = _DECODER.raw_decode(text, at)
        value = _value_at(text, _skip(text, end) + 1)
        if name == key:
            found = value
        at = _skip(text, value.end)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return found


def _items(text: str, outer: _Span) -> list[_Span]:
    items, at = [], _skip(text, outer.start + 1)
    while text[at] != "]":
        item = _value_at(text, at)
        items.append(item)
        at = _skip(text, item.end)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return items
