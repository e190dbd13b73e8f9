"""Edits of `[routes]` in a `devtls.toml`: everything else in the file stays as it was typed.

Owns where a new line goes and what a new file says. Refuses forms that it cannot edit without changing what the rest
means: the result is read by the same parser as every other file, and compared. Pure: bytes in, bytes out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import msgspec
import tomlkit
from tomlkit import TOMLDocument
from tomlkit.exceptions import TOMLKitError

from devtls.config.lines import dotted
from devtls.config.model import Config, RouteConfig
from devtls.config.route import parse_identity, parse_route_value
from devtls.config.toml import parse_config
from devtls.errors import ConfigError

Value = int | str | Mapping[str, Any]
"""The value of a route: a port, a target, or a table of options."""

NEW_FILE = b"""\
# What `devtls serve` reads here, and in every folder below. Save it, and it counts.
# NAME = TARGET: a port, "host:port", "./folder", "unix:/path", or { target = 3000, host = "upstream" }.
# Names with a dot, a star or a slash need quotes: "*.app" = 3000, "app/api" = 8000.

[routes]
"""


class ConfigText(msgspec.Struct, frozen=True):
    """A file as it is: its bytes, its name in errors, the directory that its paths count from."""

    data: bytes
    source: str
    directory: str

    def parse(self) -> Config:
        """Return what it means. Raises ConfigError."""
        return parse_config(self.data, source=self.source, directory=self.directory)


def find_route(config: Config, written: str) -> RouteConfig | None:
    """Return the route of that name and path, however it is spelled. Raises ConfigError for what is no name."""
    identity = parse_identity(written)
    return next((route for route in config.routes if route.identity == identity), None)


def add_route(file: ConfigText, written: str, value: Value) -> bytes:
    """Return the file with the route added, or with the one of the same name and path replaced. Raises ConfigError."""
    before = file.parse()
    route = parse_route_value(written, value, directory=file.directory)
    old = find_route(before, written)
    # Its old spelling: TOML has no second key for the same route.
    key = written if old is None else old.key

    def change(document: TOMLDocument) -> None:
        routes: Any = document.setdefault("routes", tomlkit.table())
        if key in routes:
            routes[key] = _item(value)
        else:
            _append(routes, key, value)

    routes = (*(one for one in before.routes if one is not old), route)
    return _edit(file, change, msgspec.structs.replace(before, routes=routes))


def remove_route(file: ConfigText, written: str) -> bytes | None:
    """Return the file without the route of that name and path, None when it has none. Raises ConfigError."""
    before = file.parse()
    old = find_route(before, written)
    if old is None:
        return None
    key = old.key

    def change(document: TOMLDocument) -> None:
        routes: Any = document["routes"]
        del routes[key]

    routes = tuple(one for one in before.routes if one is not old)
    return _edit(file, change, msgspec.structs.replace(before, routes=routes))


def _item(value: Value) -> Any:
    if isinstance(value, Mapping):
        # One line: a table of tomlkit's would become a section of its own below [routes].
        inner = ", ".join(f"{name} = {tomlkit.item(one).as_string()}" for name, one in value.items())
        return tomlkit.value(f"{{ {inner} }}")
    return tomlkit.item(value)


def _append(routes: Any, key: str, value: Value) -> None:
    """Put a line behind the last route: what stands below that one belongs to what follows."""
    body = getattr(getattr(routes, "value", None), "body", [])
    end = max((place + 1 for place, (name, _) in enumerate(body) if name is not None), default=len(body))
    below = body[end:]
    del body[end:]
    routes[key] = _item(value)
    body.extend(below)


def _edit(file: ConfigText, change: Callable[[TOMLDocument], None], expected: Config) -> bytes:
    """Return the changed file when it means what is expected, and nothing else."""
    text = file.data.decode()  # it was parsed: it is UTF-8
    try:
        document = tomlkit.parse(text)
        change(document)
        edited = tomlkit.dumps(document)
        # tomlkit writes new lines with LF: a file has one kind of line end.
        if "\r\n" in text:
            edited = edited.replace("\r\n", "\n").replace("\n", "\r\n")
        result = edited.encode()
        # tomlkit and tomllib are two parsers: what counts is what serve will read.
        after = msgspec.structs.replace(file, data=result).parse()
    # tomlkit fails with any of these on forms that it knows only in part.
    except (TOMLKitError, ConfigError, KeyError, TypeError, ValueError, AttributeError) as error:
        _refuse(file, error)
    if _meaning(after) != _meaning(expected):
        _refuse(file, None)
    return result


def _meaning(config: Config) -> tuple[object, ...]:
    return config.serve, config.limits, {route.identity: route for route in config.routes}


def _refuse(file: ConfigText, cause: Exception | None) -> NoReturn:
    raise ConfigError(
        "this file is written in a form that devtls does not edit.",
        source=file.source,
        hint="Change the line in [routes] yourself: what is saved counts at once.",
    ) from cause


def as_line(key: str, value: Value) -> str:
    """Return `key = value` as it is written into a file."""
    return f"{dotted((key,))} = {_item(value).as_string()}"
