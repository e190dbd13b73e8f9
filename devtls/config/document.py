"""A configuration text while it is parsed: the places of errors, and the checks that several sections share.

Owns the wording of "there is no …", the guess what was meant, and the checks of true/false, choices and text. Refuses
by raising ConfigError with source, dotted key and line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NoReturn

import msgspec

from devtls.config.lines import Key, dotted, find_line, visible
from devtls.errors import ConfigError

_LONGEST_GUESS = 60


class ConfigDocument(msgspec.Struct, frozen=True):
    """Where errors point to: the source, the directory that relative paths count from, and the lines of the keys."""

    source: str
    directory: str
    lines: dict[Key, int]

    def line(self, key: Key) -> int:
        """Return the line of `key` (0 = unknown)."""
        return find_line(self.lines, key)

    def fail(self, key: Key, message: str, hint: str = "") -> NoReturn:
        """Raise the ConfigError for `key`."""
        raise ConfigError(message, source=self.source, key=dotted(key), line=self.line(key), hint=hint)

    def check_names(
        self,
        table: Iterable[str],
        allowed: Iterable[str],
        key: Key,
        noun: str,
        meant: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Refuse every name in `table` that is not in `allowed`; `meant` are the known ones for words of others."""
        known = list(allowed)
        for name in table:
            if name not in known:
                self.fail((*key, name), f"there is no {noun} {name!r} here.", did_you_mean(name, known, meant))


def did_you_mean(name: str, known: list[str], meant: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return the hint for an unknown name: the known one that is meant by it, the nearest one, or all of them."""
    if len(name) > _LONGEST_GUESS:  # its time grows with the square of the length
        return f"Allowed are: {', '.join(known)}."
    from difflib import get_close_matches  # 2 ms that only a mistake has to pay

    if name.lower() in meant:
        return f"Did you mean {meant[name.lower()]}?"
    near = get_close_matches(name.lower(), known, n=1, cutoff=0.6)
    return f"Did you mean {near[0]}?" if near else f"Allowed are: {', '.join(known)}."


def boolean(value: object, key: Key, document: ConfigDocument) -> bool:
    """Return `value` when it is true or false. Raises ConfigError."""
    if not isinstance(value, bool):
        document.fail(
            key, f"{shown(value)} is neither true nor false.", f"Write {key[-1]} = true or {key[-1]} = false."
        )
    return value


def choice(value: object, allowed: tuple[str, ...], key: Key, document: ConfigDocument) -> str:
    """Return `value` when it is one of `allowed`. Raises ConfigError."""
    if not isinstance(value, str) or value not in allowed:
        document.fail(
            key,
            f"{shown(value)} is not possible here.",
            "Allowed are: " + ", ".join(f'"{one}"' for one in allowed) + ".",
        )
    return value


def number(value: object, key: Key, limits: tuple[float, float], document: ConfigDocument) -> float:
    """Return `value` when it lies in `limits`, both included; a key in `_s` takes fractions. Raises ConfigError."""
    low, high = limits
    seconds = key[-1].endswith("_s")
    allowed = f"Allowed is {low:g} to {high:g}." if high < 1e6 else f"Allowed is {low:.0f} to {high:.0f}."
    if type(value) is not int and not (seconds and type(value) is float):
        document.fail(key, f"{shown(value)} is no {'number of seconds' if seconds else 'whole number'}.", allowed)
    # Also false for nan, which TOML has.
    if not low <= value <= high:
        document.fail(key, f"{shown(value)} is out of range.", allowed)
    return float(value) if seconds else value


def text_value(value: object, key: Key, document: ConfigDocument, example: str) -> str:
    """Return `value` when it is a string that is not empty. Raises ConfigError."""
    if not isinstance(value, str) or not value:
        document.fail(key, f"{shown(value)} is no text.", f"Write {key[-1]} = {example}.")
    return value


def shown(value: object) -> str:
    """Return a value as TOML would write it, cut to a readable length."""
    match value:
        case bool():
            return "true" if value else "false"
        case dict():
            return "a table"
        case list():
            return "a list"
        case str():
            return f'"{visible(value[:60])}{"…" if value[60:] else ""}"'
        case _:
            return str(value) if not isinstance(value, int) or abs(value) < 10**20 else "a huge number"
