"""The `[acme]` section: the ACME server, and the ports on which it validates challenges.

Owns its grammar: a port for all names or a table of ports by name, keys of external accounts. Refuses ports that are
none, patterns that name nothing, and keys that are no base64url.
"""

from __future__ import annotations

from binascii import a2b_base64
from typing import Any

from devtls.config.document import ConfigDocument, boolean, shown
from devtls.config.lines import Key
from devtls.config.model import AcmeConfig, PortByName
from devtls.errors import InvalidName
from devtls.names import LOCALHOST, parse_pattern, pattern_holds

_SETTINGS = ("enabled", "http_port", "tls_port", "eab")
_SHORTEST_KEY_BYTES = 16


def parse_acme(table: dict[str, Any], document: ConfigDocument) -> AcmeConfig:
    """Return what the section says. Raises ConfigError."""
    document.check_names(table, _SETTINGS, ("acme",), "setting")
    return AcmeConfig(
        enabled=boolean(table.get("enabled", False), ("acme", "enabled"), document),
        http_port=_ports(table.get("http_port", {}), ("acme", "http_port"), document),
        tls_port=_ports(table.get("tls_port", {}), ("acme", "tls_port"), document),
        eab=_keys(table.get("eab", {}), ("acme", "eab"), document),
        line=document.line(("acme", "enabled")),
    )


def port_for(ports: tuple[PortByName, ...], name: str) -> int | None:
    """Return the port that is meant for a name: its own, that of the longest pattern that holds it, or None."""
    holding = [one for one in ports if pattern_holds(one[0], name)]
    exact = [port for pattern, port in holding if pattern == name]
    # The longest pattern is the most specific one, as for routes.
    return exact[0] if exact else max(holding, key=lambda one: len(one[0]), default=("", None))[1]


def _ports(value: object, key: Key, document: ConfigDocument) -> tuple[PortByName, ...]:
    if not isinstance(value, dict):
        return (("*", _port(value, key, document)),)
    return tuple((_pattern(name, key, document), _port(port, (*key, name), document)) for name, port in value.items())


def _port(value: object, key: Key, document: ConfigDocument) -> int:
    # type, not isinstance: True is an int for Python.
    if type(value) is not int or not 1 <= value <= 65535:
        document.fail(
            key, f"{shown(value)} is no port.", 'Write a port of this machine, or { "web.dev.local" = 8080 } per name.'
        )
    return value


def _pattern(text: str, key: Key, document: ConfigDocument) -> str:
    try:
        pattern = parse_pattern(text) if text != "*" else text
    except InvalidName as error:
        document.fail((*key, text), str(error), error.hint)
    # ACME orders name whole hosts; a short name would never match one.
    if "." not in pattern and pattern not in ("*", LOCALHOST):
        document.fail((*key, text), f"{text!r} is no name in full.", f"Write it with its zone: {text}.dev.local.")
    return pattern


def _keys(value: object, key: Key, document: ConfigDocument) -> tuple[tuple[str, bytes], ...]:
    if not isinstance(value, dict):
        document.fail(key, "this is no table of keys.", 'Write eab = { "name" = "key in base64url" }.')
    return tuple((name, _key(text, (*key, name), document)) for name, text in value.items())


def _key(text: object, key: Key, document: ConfigDocument) -> bytes:
    secret = _decoded(text) if isinstance(text, str) else b""
    if len(secret) < _SHORTEST_KEY_BYTES:
        document.fail(
            key,
            f"this is no key of {_SHORTEST_KEY_BYTES} bytes or more in base64url.",
            "openssl rand 32 | basenc --base64url makes one.",
        )
    return secret


def _decoded(text: str) -> bytes:
    # Padding is optional (RFC 4648 3.2, 5); `+` and `/` are not in this alphabet: as spaces strict mode refuses them.
    plain = text.rstrip("=").translate(str.maketrans("-_+/", "+/  "))
    try:
        return a2b_base64(plain + "=" * (-len(plain) % 4), strict_mode=True)
    except ValueError:
        return b""
