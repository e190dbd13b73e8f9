"""JAVA_TOOL_OPTIONS: words, quotes, and the truststore among them.

Owns the grammar of the JVM (HotSpot's arguments.cpp): words end at white space; inside '...' and "..." everything is
itself, also a backslash; the last of several equal properties wins. So ours stand behind the user's own, whose text
is never touched and is all there when ours are taken away again.
"""

from __future__ import annotations

import re
from pathlib import PurePath

from devtls.system.changes.clientenv.variables import TRUSTSTORE_FILE

# An open quote reaches to the end of the text, so its word is not cut at a space either.
_WORD = re.compile(r"""(?:[^\s'"]|'[^']*'|"[^"]*"|['"].*\Z)+""", re.DOTALL)
_PIECE = re.compile(r"""'([^']*)'|"([^"]*)"|(.)""", re.DOTALL)
_PROPERTY = "-Djavax.net.ssl."
_OURS = re.compile(re.escape(TRUSTSTORE_FILE).replace(r"\.p12", r"(?:-[0-9a-f]+)?\.p12") + r"\Z")
_TYPE = f"{_PROPERTY}trustStoreType=PKCS12"


def extend(options: str, truststore: str) -> str:
    """Return `options` without an earlier truststore of ours, and this one behind them."""
    ours = f"{_quoted(_PROPERTY + 'trustStore=' + truststore)} {_TYPE}"
    kept = without_ours(options)
    return f"{kept} {ours}" if kept else ours


def without_ours(options: str) -> str:
    """Return `options` without truststores of ours; otherwise as it is, quotes and spaces included."""
    kept, end, after_ours = [], 0, False
    for word in _WORD.finditer(options):
        text = _plain(word[0])
        # The type alone may be the user's own: it is ours directly behind our truststore only.
        if _is_ours(text) or (after_ours and text == _TYPE):
            kept.append(options[end : word.start()].rstrip())
            end = word.end()
            after_ours = True
        else:
            after_ours = False
    return "".join([*kept, options[end:]]).strip() if kept else options


def named_truststore(options: str) -> str | None:
    """Return the path of the truststore of ours among `options`."""
    return next((_value(word) for word in words(options) if _is_ours(word)), None)


def words(options: str) -> list[str]:
    """Return the words of `options`, their quotes taken away."""
    return [_plain(word[0]) for word in _WORD.finditer(options)]


def own_property(options: str, name: str) -> str | None:
    """Return the value of javax.net.ssl.<name> as the user set it, ours left out."""
    start = f"{_PROPERTY}{name}="
    found = [word.removeprefix(start) for word in words(without_ours(options)) if word.startswith(start)]
    # The JVM takes the last of several equal properties.
    return found[-1] if found else None


def _plain(word: str) -> str:
    return "".join("".join(piece.groups("")) for piece in _PIECE.finditer(word))


def _value(word: str) -> str:
    return word.partition("=")[2]


def _is_ours(word: str) -> bool:
    return word.startswith(f"{_PROPERTY}trustStore=") and bool(_OURS.match(PurePath(_value(word)).name))


def _quoted(word: str) -> str:
    if not re.search(r"""[\s'"]""", word):
        return word
    # There are no escapes inside quotes (HotSpot's arguments.cpp): a quote stands in quotes of the other kind.
    return "".join(f'"{part}"' if part == "'" else f"'{part}'" for part in re.split("(')", word) if part)
