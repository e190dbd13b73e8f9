"""devtls.toml: bytes -> Config, with errors that name the file, the key, the line and what may stand there.

Owns the grammar of the sections. Refuses unknown keys and sections (with a guess what was meant), wrong types,
values out of range, files that are no UTF-8 text, larger than 1 MiB or of more than 10,000 routes. tomllib reads the
syntax (7 ms to import against 21 ms for msgspec).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from devtls.config.acme import parse_acme
from devtls.config.document import ConfigDocument, boolean, choice, number, shown
from devtls.config.lines import Key, key_lines, visible
from devtls.config.model import (
    COMMAND_LINE,
    LIMIT_RANGES,
    CaConfig,
    Config,
    DnsConfig,
    LimitsConfig,
    PacConfig,
    ServeConfig,
)
from devtls.config.route import parse_routes
from devtls.config.target import TargetError, parse_listen_address
from devtls.errors import ConfigError

# No file by a person is larger; a parser must not be given a disk image.
MAX_FILE_BYTES = 1_048_576
MAX_ROUTES = 10_000

# A route may be a table with options.
_MAX_ENTRIES = 5 * MAX_ROUTES
_MAX_PARTS = 64
_LONGEST_LOOK = 500
_MAX_ADDRESSES = 64
_KEY_PART = re.compile(r"[ \t]*(?:\"[^\"\n]*\"|'[^'\n]*'|[A-Za-z0-9_-]+)[ \t]*")
_TOO_MANY = f"the file has more than {MAX_ROUTES:,} routes."
_WILDCARD = 'One route "*.app" serves every name below app.'

_SETTINGS = ("serve", "dns", "pac", "ca", "acme", "limits")
_SECTIONS = (*_SETTINGS, "routes")
# Other programs' words, or half of ours.
_MEANT = {
    "port": "https_port",
    "https": "https_port",
    "http": "http_port",
    "host": "listen",
    "address": "listen",
    "bind": "listen",
    "log": "log_format",
}
_QUOTES_HINT = 'Names with a dot, a star or a slash need quotes: "*.app" = 3000.'


def parse_config(data: bytes, *, source: str, directory: str) -> Config:
    """Return the configuration in `data`; relative paths in it count from `directory`, errors name `source`.

    Raises ConfigError.
    """
    text = _decode(data, source)
    _check_size(text, source)
    tables = _load(text, source)
    routes = tables.get("routes")
    if isinstance(routes, dict) and len(routes) > MAX_ROUTES:
        raise ConfigError(_TOO_MANY, source=source, key="routes", hint=_WILDCARD)
    document = ConfigDocument(source, directory, key_lines(text))
    _check_sections(tables, document)
    for name in _SECTIONS:
        if not isinstance(tables.get(name, {}), dict):
            document.fail(
                (name,), f"{name} must be a section.", f"Write [{name}] on a line of its own, its keys below it."
            )
    routes = parse_routes(tables.get("routes", {}), document)
    serve = _parse_serve(tables.get("serve", {}), document)
    dns = DnsConfig(*_parse_auxiliary_port("dns", DnsConfig(), tables, document))
    pac = PacConfig(*_parse_auxiliary_port("pac", PacConfig(), tables, document))
    ca = _parse_ca(tables.get("ca", {}), document)
    acme = parse_acme(tables.get("acme", {}), document)
    limits = _parse_limits(tables.get("limits", {}), document)
    written = tuple(sorted(f"{section}.{key}" for section in _SETTINGS for key in tables.get(section, {})))
    return Config(serve, limits, routes, source, dns, pac, ca, acme, written)


def parse_ca_section(data: bytes, *, source: str, directory: str) -> CaConfig:
    """Return `[ca]` alone, whatever is wrong elsewhere in the file, as long as it is TOML. Raises ConfigError."""
    text = _decode(data, source)
    _check_size(text, source)
    document = ConfigDocument(source, directory, key_lines(text))
    table = _load(text, source).get("ca", {})
    if not isinstance(table, dict):
        document.fail(("ca",), "ca must be a section.", "Write [ca] on a line of its own, its keys below it.")
    return _parse_ca(table, document)


def _check_sections(tables: dict[str, Any], document: ConfigDocument) -> None:
    lost = next((name for name, value in tables.items() if name not in _SECTIONS and not isinstance(value, dict)), None)
    if lost is not None:
        hint = f"If {lost} is a route, write it below a line [routes]."
        document.fail((lost,), f"{lost!r} stands in no section.", hint)
    document.check_names(tables, _SECTIONS, (), "section")


def _check_size(text: str, source: str) -> None:
    """Refuse what the parser of TOML would need more than a second for. Raises ConfigError."""
    lines = (line for line in map(str.lstrip, text.split("\n")) if not line.startswith("#"))
    if sum(line.count("=") + line.startswith("[") for line in lines) > _MAX_ENTRIES:
        raise ConfigError(
            f"the file has more than {_MAX_ENTRIES:,} entries, and {MAX_ROUTES:,} routes are allowed.",
            source=source,
            hint=_WILDCARD,
        )
    parts = 0
    # Its time grows with the square of a dotted key's parts.
    for chunk in text.split("."):
        parts = parts + 1 if _KEY_PART.fullmatch(chunk) else 0
        if parts > _MAX_PARTS:
            raise ConfigError(f"a key has more than {_MAX_PARTS} parts.", source=source, hint=_QUOTES_HINT)


def _decode(data: bytes, source: str) -> str:
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError("the file is larger than 1 MiB; this is no devtls.toml.", source=source)
    # TOML is UTF-8; Windows editors write these, and the parser's own error would not name them.
    if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise ConfigError(
            "the file begins with a byte order mark.", source=source, line=1, hint="Save it as UTF-8 without BOM."
        )
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError("the file is not UTF-8 text.", source=source, line=line, hint="Save it as UTF-8.") from error


def _load(text: str, source: str) -> dict[str, Any]:
    from tomllib import loads  # 4 ms that a start without a file need not pay

    try:
        return loads(text)
    except ValueError as error:
        line, message = _place_of(error, text)
        written = text.split("\n")[line - 1][:_LONGEST_LOOK] if line else ""
        raise ConfigError(
            f"this is not TOML: {message}.", source=source, line=line, hint=_on_syntax(written, message)
        ) from error
    except RecursionError as error:
        raise ConfigError("the file is nested too deeply.", source=source) from error


def _on_syntax(written: str, message: str) -> str:
    """Return the hint for a line that is not TOML: its own messages help nobody who has forgotten quotes."""
    key = written.partition("=")[0].strip()
    if message.startswith("Cannot overwrite") and key:
        return f"{visible(key[:60])} stands further up already: keep one of the two."
    # `app/api = 1` and `*.app = 1` are what people type first.
    if re.match(r"\s*[^\s\"'#=\[]*[*/][^\"'#=]*=", written):
        return _QUOTES_HINT
    unquoted = re.match(r"\s*([^=#]{1,80}?)\s*=\s*([^\s\"'\[{#][^\"'#]{0,80}?)\s*(?:#.*)?\Z", written)
    if unquoted:
        return f'Text needs quotes: {visible(unquoted[1])} = "{visible(unquoted[2])}".'
    return f"Look at this line: {visible(written.strip()[:60])}" if written.strip() else ""


def _place_of(error: ValueError, text: str) -> tuple[int, str]:
    # TOMLDecodeError is a subclass, with a place; a bare ValueError is int()'s own.
    if type(error) is ValueError:
        return 0, "one of its values is impossible"  # an integer of more than 4,300 digits
    message, _, place = str(error).partition(" (at ")
    found = re.match(r"line ([0-9]+), column ([0-9]+)", place)
    if found:
        return int(found[1]), f"{message} (column {found[2]})"
    return text.rstrip("\n").count("\n") + 1, message


def _parse_serve(table: dict[str, Any], document: ConfigDocument) -> ServeConfig:
    document.check_names(table, ServeConfig.__struct_fields__, ("serve",), "setting", _MEANT)
    checked: dict[str, Any] = {}
    for name, value in table.items():
        key = ("serve", name)
        if name in ("https_port", "http_port"):
            checked[name] = _port(value, key, document)
        elif name == "listen":
            checked[name] = _listen(value, key, document)
        elif name == "log_format":
            checked[name] = choice(value, ("text", "json"), key, document)
        else:
            checked[name] = boolean(value, key, document)
    return ServeConfig(**checked)


def _parse_auxiliary_port(
    section: str, usual: DnsConfig | PacConfig, tables: dict[str, Any], document: ConfigDocument
) -> tuple[bool, int]:
    table = tables.get(section, {})
    document.check_names(table, ("enabled", "port"), (section,), "setting")
    enabled, port = table.get("enabled", usual.enabled), table.get("port", usual.port)
    return boolean(enabled, (section, "enabled"), document), _port(port, (section, "port"), document)


def _parse_ca(table: dict[str, Any], document: ConfigDocument) -> CaConfig:
    document.check_names(table, CaConfig.__struct_fields__, ("ca",), "setting")
    return CaConfig(**{name: boolean(value, ("ca", name), document) for name, value in table.items()})


def _port(value: object, key: Key, document: ConfigDocument) -> int:
    # type, not isinstance: True is an int for Python.
    if type(value) is not int or not 0 <= value <= 65535:
        document.fail(key, f"{shown(value)} is no port.", "Ports go from 1 to 65535; 0 takes any free one.")
    return value


def _listen(value: object, key: Key, document: ConfigDocument) -> tuple[str, ...]:
    addresses = [value] if isinstance(value, str) else value
    if not isinstance(addresses, list) or not addresses:
        document.fail(key, f"{shown(value)} is no list of addresses.", 'Write listen = ["127.0.0.1", "::1"].')
    if len(addresses) > _MAX_ADDRESSES:
        document.fail(key, f"these are more than {_MAX_ADDRESSES} addresses.", 'Write listen = ["127.0.0.1", "::1"].')
    return _loopback((item if isinstance(item, str) else shown(item) for item in addresses), key, document)


def parse_listen_arguments(addresses: Iterable[str]) -> tuple[str, ...]:
    """Return the addresses of `--listen`, each once. Raises ConfigError for one that is not loopback."""
    return _loopback(addresses, ("--listen",), ConfigDocument(COMMAND_LINE, "", {}))


def _loopback(addresses: Iterable[str], key: Key, document: ConfigDocument) -> tuple[str, ...]:
    try:
        return tuple(dict.fromkeys(parse_listen_address(address) for address in addresses))
    except TargetError as error:
        document.fail(key, f"{error}.", error.hint)


def _parse_limits(table: dict[str, Any], document: ConfigDocument) -> LimitsConfig:
    document.check_names(table, LIMIT_RANGES, ("limits",), "limit")
    checked: dict[str, Any] = {}
    for name, value in table.items():
        checked[name] = number(value, ("limits", name), LIMIT_RANGES[name], document)
    return LimitsConfig(**checked)
