"""The arguments of `devtls serve`, and the short way to read them.

Owns what they are. `read_plain` reads what people write every day and gives up on everything else (help, a mistake, a
spelling that only click knows): then click reads the same arguments and has the last word. A test holds the two
against each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

_SWITCHES = {
    "-v": "verbose",
    "--verbose": "verbose",
    "-q": "quiet",
    "--quiet": "quiet",
    "--no-redirect": "no_redirect",
    "--alone": "alone",
    "--allow-remote": "allow_remote",
}
_PORTS = {"--https-port": "https_port", "--http-port": "http_port"}
_LOG_FORMATS = ("text", "json")
_HIGHEST_PORT = 65535


class ServeArguments(msgspec.Struct, frozen=True, kw_only=True):
    """What `devtls serve` was given."""

    routes: tuple[str, ...] = ()
    config: Path | None = None
    listen: tuple[str, ...] = ()
    https_port: int | None = None
    http_port: int | None = None
    no_redirect: bool = False
    alone: bool = False
    allow_remote: bool = False
    log_format: str | None = None
    log_file: Path | None = None
    verbose: bool = False
    quiet: bool = False
    passphrase_fd: int | None = None


def read_plain(arguments: Sequence[str]) -> ServeArguments | None:
    """Return the arguments, or None when it takes click to read them or to say what is wrong."""
    found: dict[str, Any] = {}
    rest = iter(arguments)
    for argument in rest:
        if not argument.startswith("-"):
            found["routes"] = (*found.get("routes", ()), argument)
        elif argument in _SWITCHES:
            found[_SWITCHES[argument]] = True
        elif not _read_option(argument, rest, found):
            return None
    return None if found.get("verbose") and found.get("quiet") else ServeArguments(**found)


def _read_option(argument: str, rest: Any, found: dict[str, Any]) -> bool:
    name, equals, value = argument.partition("=")
    if not equals:
        # "-" is refused below: click knows how to say that a value is missing.
        value = next(rest, "-")
    # Might be an option: click decides.
    if not value or value.startswith("-"):
        return False
    match name:
        case "--https-port" | "--http-port":
            if not (value.isascii() and value.isdigit() and len(value) <= 5 and int(value) <= _HIGHEST_PORT):
                return False
            found[_PORTS[name]] = int(value)
        case "--log-format" if value in _LOG_FORMATS:
            found["log_format"] = value
        case "--listen":
            found["listen"] = (*found.get("listen", ()), value)
        case "--config" | "--log-file":
            found[name[2:].replace("-", "_")] = Path(value)
        case _:
            return False
    return True
