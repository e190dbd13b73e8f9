"""The syntax of routes: `"app/api" = "127.0.0.1:8000"` in the file, `app=3000` on the command line.

Owns the key (name and path prefix), the options of a route, and how file and command line add up. Refuses options
that would mean nothing for their target, remote targets without `allow_remote`, and the same name and path twice.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from msgspec.structs import replace

from devtls.config.document import ConfigDocument, boolean, choice, did_you_mean, number, shown, text_value
from devtls.config.lines import Key, dotted
from devtls.config.model import (
    COMMAND_LINE,
    LIMIT_RANGES,
    Config,
    Merged,
    RouteConfig,
    StaticTarget,
    Target,
    TcpTarget,
)
from devtls.config.target import (
    SECURE,
    TargetError,
    is_loopback_host,
    join_path,
    parse_directory,
    parse_port,
    parse_target,
)
from devtls.errors import ConfigError, InvalidName
from devtls.names import parse_pattern

_OPTIONS = (
    "target", "static", "allow_remote", "host", "ca", "verify", "hsts", "strip_prefix", "via", "cookie_domain",
    "retry_down_s", "client_auth", "client_ca", "dotfiles", "spa", "listing",
)  # fmt: skip
_STATIC_ONLY = ("dotfiles", "spa", "listing")
_SWITCHES = ("allow_remote", "verify", "strip_prefix", "via", *_STATIC_ONLY)
# Words for a target that are like no option.
_MEANT = {
    "port": "target",
    "url": "target",
    "to": "target",
    "upstream": "target",
    "proxy": "target",
    "proxy_pass": "target",
    "directory": "static",
    "dir": "static",
    "root": "static",
    "folder": "static",
}
_HTTPS_ONLY = ("ca", "verify")
_APP_ONLY = ("allow_remote", "host", "hsts", "cookie_domain", "retry_down_s")
# pchar (RFC 3986 3.3) without empty segments.
_SEGMENTS = re.compile(r"(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+)*\Z")
_LONGEST_PREFIX = 1024
_TARGET_HINT = 'Write app = 3000, app = "host:port", or app = { target = 3000 }.'


def parse_routes(table: dict[str, Any], document: ConfigDocument) -> tuple[RouteConfig, ...]:
    """Return the routes of the `[routes]` table, in its order. Raises ConfigError."""
    routes = [_parse_route(written, value, document) for written, value in table.items()]
    seen: dict[tuple[str, str], RouteConfig] = {}
    for route in routes:
        first = seen.setdefault(route.identity, route)
        if first is not route:
            document.fail(
                ("routes", route.key), f"this is the same route as {first.key!r}.", "Keep one of the two lines."
            )
    return tuple(routes)


def parse_route_argument(argument: str, *, directory: str = "", allow_remote: bool = False) -> RouteConfig:
    """Return the route that `devtls serve` was given, such as `app=3000`; relative paths count from `directory`.

    Raises ConfigError, for another machine too unless `allow_remote`.
    """
    key, equals, written = argument.partition("=")
    document = ConfigDocument(COMMAND_LINE, directory, {})
    if not equals or not key or not written:
        raise ConfigError(
            f"{shown(argument)} is no route.", source=COMMAND_LINE, hint=_meant_argument(argument, directory)
        )
    name, path_prefix = _parse_key(key, (key,), document)
    target = _parse_target_value(written, (key,), document)
    remote = isinstance(target, TcpTarget) and not is_loopback_host(target.host)
    if isinstance(target, TcpTarget) and remote and not allow_remote:
        # As in a file: no typing mistake sends requests into a network.
        document.fail(
            (key,),
            f"the target {target.host} is another machine.",
            f"If you mean it: devtls serve {argument} --allow-remote",
        )
    return RouteConfig(name, path_prefix, target, allow_remote=remote, key=key)


def _meant_argument(argument: str, directory: str) -> str:
    """Return the hint for what has no `=`: most often a target without a name, or a name without a target."""
    example = "such as app=3000 or app/api=127.0.0.1:8000."
    key, _, written = argument.partition("=")
    name, colon, port = argument.partition(":")
    here = re.sub(r"[^a-z0-9]+", "-", PurePath(directory).name.lower()).strip("-") or "app"
    if argument.isdigit() or re.match(r":\d|[./~\\]|localhost:|\d+\.|\[|[a-z0-9]+:/", argument):
        return f"A target needs a name in front of it: devtls serve {here}={argument}"
    if "=" not in argument and colon and port.isdigit():
        return f"devtls serve {name}={port}"
    if "=" in argument and written:
        return f"A target needs a name in front of it: devtls serve {here}={written}"
    try:
        parse_pattern(key.partition("/")[0])
    except InvalidName:
        return f"Write NAME=TARGET, {example}"
    # A shell takes a star for the names of files.
    route = f"'{key}=3000'" if "*" in key else f"{key}=3000"
    return f"devtls serve {route}, where 3000 is the port of your app"


def parse_route_value(written: str, value: object, *, directory: str, source: str = COMMAND_LINE) -> RouteConfig:
    """Return the route that `written = value` would be in a file's `[routes]`. Raises ConfigError."""
    return _parse_route(written, value, ConfigDocument(source, directory, {}))


def parse_identity(written: str) -> tuple[str, str]:
    """Return the name and path prefix that a route's key stands for. Raises ConfigError."""
    return _parse_key(written, (written,), ConfigDocument(COMMAND_LINE, "", {}))


def merge(file: Config, arguments: Sequence[RouteConfig]) -> Merged:
    """Return `file` with the routes of the command line added; the same name and path twice: the command line wins.

    Raises ConfigError when two arguments name the same route.
    """
    added: dict[tuple[str, str], RouteConfig] = {}
    for route in arguments:
        if added.setdefault(route.identity, route) is not route:
            raise ConfigError(
                f"the route {route.key!r} is given twice.", source=COMMAND_LINE, hint="Give each name once."
            )
    kept = tuple(route for route in file.routes if route.identity not in added)
    overridden = tuple(route.key for route in file.routes if route.identity in added)
    return Merged(replace(file, routes=(*kept, *added.values())), overridden)


def _parse_route(written: str, value: object, document: ConfigDocument) -> RouteConfig:
    key = ("routes", written)
    options: dict[str, Any] = {"target": value}
    if isinstance(value, dict):
        _check_option_names(written, value, document)
        options = dict(value)
    name, path_prefix = _parse_key(written, key, document)
    if ("target" in options) == ("static" in options):
        document.fail(key, "a route needs either a target or a static folder.", _TARGET_HINT)
    if "static" in options:
        target: Target = _parse_static(options.pop("static"), (*key, "static"), document)
    else:
        place = (*key, "target") if isinstance(value, dict) else key
        target = _parse_target_value(options.pop("target"), place, document)
    checked = _parse_options(options, key, document)
    of_site = {name: checked.pop(name) for name in _STATIC_ONLY if name in checked}
    if isinstance(target, StaticTarget):
        target = replace(target, **of_site)
    route = RouteConfig(name, path_prefix, target, key=written, line=document.line(key), source=document.source)
    route = replace(route, **checked)
    _check_options(route, options, key, document)
    return route


def _check_option_names(written: str, table: dict[str, Any], document: ConfigDocument) -> None:
    unknown = next((name for name in table if name not in _OPTIONS), None)
    if unknown is None:
        return
    # `app.dev.local = 3000` without quotes is a table in a table for TOML: say what is missing, not "no option dev".
    path, inner = [written, unknown], table[unknown]
    while isinstance(inner, dict) and len(inner) == 1:
        ((part, inner),) = inner.items()
        path.append(part)
    name = ".".join(path)
    if len(path) > 2:
        document.fail(("routes", *path), "a name with dots needs quotes.", f'Write "{name}" = … instead.')
    hint = did_you_mean(unknown, list(_OPTIONS), _MEANT)
    if not hint.startswith("Did"):
        hint += f' If {name} is a name, it needs quotes: "{name}" = ….'
    document.fail(("routes", *path), f"there is no option {unknown!r} here.", hint)


def _parse_key(written: str, key: Key, document: ConfigDocument) -> tuple[str, str]:
    name, slash, path = written.partition("/")
    try:
        pattern = parse_pattern(name)
    except InvalidName as error:
        document.fail(key, str(error), error.hint)
    prefix = (slash + path).removesuffix("/")
    if len(prefix) > _LONGEST_PREFIX:
        document.fail(
            key, f"the path prefix has more than {_LONGEST_PREFIX} characters.", "A shorter one does as well."
        )
    # Browsers remove dot segments before they send (RFC 3986 5.2.4): such a route would never match.
    if not _SEGMENTS.match(prefix) or any(segment in (".", "..") for segment in prefix.split("/")):
        document.fail(
            key, f"{prefix!r} is no path prefix.", 'Write it as the browser sends it: "app/api", "app/a%20b".'
        )
    return pattern, prefix or "/"


def _parse_target_value(value: object, key: Key, document: ConfigDocument) -> Target:
    try:
        # type, not isinstance: True is an int for Python.
        if type(value) is int:
            return TcpTarget("http", "", parse_port(value))
        if not isinstance(value, str):
            document.fail(key, f"{shown(value)} is no target.", _TARGET_HINT)
        return parse_target(value, document.directory)
    except TargetError as error:
        document.fail(key, f"{error}.", error.hint)


def _parse_static(value: object, key: Key, document: ConfigDocument) -> StaticTarget:
    try:
        return parse_directory(text_value(value, key, document, '"site"'), document.directory)
    except TargetError as error:
        document.fail(key, f"{error}.", error.hint)


def _parse_options(options: dict[str, Any], key: Key, document: ConfigDocument) -> dict[str, Any]:
    checked: dict[str, Any] = {}
    for name, value in options.items():
        place = (*key, name)
        if name in _SWITCHES:
            checked[name] = boolean(value, place, document)
        elif name == "host":
            if isinstance(value, str) and re.search(r"[.:]|localhost", value):
                document.fail(
                    place, f"{shown(value)} is an address.", f"Where the app is, says target = {shown(value)}."
                )
            checked[name] = choice(value, ("keep", "upstream"), place, document)
        elif name == "hsts":
            checked[name] = choice(value, ("strip", "keep"), place, document)
        elif name == "cookie_domain":
            checked[name] = choice(value, ("keep", "strip"), place, document)
        elif name == "retry_down_s":
            checked[name] = number(value, place, LIMIT_RANGES[name], document)
        elif name == "client_auth":
            checked[name] = choice(value, ("off", "request", "require"), place, document)
        else:
            checked[name] = _parse_ca(value, place, document)
    return checked


def _parse_ca(value: object, key: Key, document: ConfigDocument) -> str:
    try:
        return join_path(text_value(value, key, document, '"corp.pem"'), document.directory)
    except TargetError as error:
        document.fail(key, f"{error}.", error.hint)


def _check_options(route: RouteConfig, options: dict[str, Any], key: Key, document: ConfigDocument) -> None:
    target = route.target
    secure = isinstance(target, TcpTarget) and target.scheme in SECURE
    for name in options:
        if name in _HTTPS_ONLY and not secure:
            document.fail(
                (*key, name), f"{name} means something for https:// and h2:// targets only.", f"Remove {name}."
            )
        if name in _STATIC_ONLY and not isinstance(target, StaticTarget):
            document.fail((*key, name), f"{name} means something for a static folder only.", f"Remove {name}.")
        if name in _APP_ONLY and isinstance(target, StaticTarget):
            document.fail((*key, name), f"{name} means nothing for a static folder.", f"Remove {name}.")
    if route.client_ca is not None and route.client_auth == "off":
        document.fail(
            (*key, "client_ca"),
            "client_ca means nothing where clients are not asked for a certificate.",
            'Add client_auth = "require", or "request".',
        )
    if route.ca is not None and not route.verify:
        document.fail(
            (*key, "verify"), "ca and verify = false contradict each other.", "Keep ca: it makes verifying work."
        )
    # A remote target sends cookies and sources off this machine: one more word makes it deliberate.
    if isinstance(target, TcpTarget) and not is_loopback_host(target.host) and not route.allow_remote:
        document.fail(
            key,
            f"the target {target.host} is another machine.",
            f"If you mean it, write {dotted((route.key,))} = {{ target = …, allow_remote = true }}.",
        )
