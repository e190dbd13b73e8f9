r"""Words in systemd's unit files: quoted so that they come out as they went in.

Owns the rules of systemd.syntax(7) and systemd.service(5): double quotes, C escapes, %% for a percent sign. Dollars are
no matter of quotes: an ExecStart= that has one gets the prefix ":", with which systemd leaves variables alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_PLAIN = re.compile(r"[A-Za-z0-9_@+=:,./-]+\Z")
# % begins a specifier in almost every setting (systemd.unit(5)).
_SPECIAL = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r", "%": "%%"}
_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|([^\s"]+)')
_ESCAPED = re.compile(r"\\(.)|%%")
_MEANING = {"n": "\n", "t": "\t", "r": "\r"}


def quote(word: str) -> str:
    """Return `word` as one word of a unit file's list."""
    if _PLAIN.match(word):
        return word
    return '"' + "".join(_SPECIAL.get(char, char) for char in word) + '"'


def command_line(argv: Iterable[str]) -> str:
    """Return the value of an ExecStart= that starts exactly `argv`."""
    words = list(argv)
    if any("$" in word for word in words):
        # The prefix that turns the substitution of $NAME off (systemd.service(5)).
        words[0] = ":" + words[0]
    return " ".join(map(quote, words))


def read_command_line(value: str) -> tuple[str, ...]:
    """Return the argv of a value that `command_line` made."""
    words = [_plain(quoted or bare) for quoted, bare in _WORD.findall(value)]
    return tuple(word.removeprefix(":") if index == 0 else word for index, word in enumerate(words))


def environment_lines(variables: Mapping[str, str]) -> list[str]:
    """Return an Environment= for each variable."""
    return [f"Environment={quote(f'{name}={value}')}" for name, value in sorted(variables.items())]


def _plain(text: str) -> str:
    return _ESCAPED.sub(lambda found: "%" if found[1] is None else _MEANING.get(found[1], found[1]), text)
