"""The JSON Schema of `devtls.toml`, for editors: names, types, defaults and ranges from the model.

Owns the form of a value in the file where the model holds another one (ports by name, routes). Draft 7, the newest that
taplo reads, and with it Even Better TOML. A schema says less than the parser: names of hosts, addresses and the rules
between options are the parser's alone. No start loads this module.
"""

from __future__ import annotations

from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from devtls.config.descriptions import ROUTE, SECTIONS, SETTINGS, Description
from devtls.config.model import (
    LIMIT_RANGES,
    AcmeConfig,
    CaConfig,
    DnsConfig,
    LimitsConfig,
    PacConfig,
    RouteConfig,
    ServeConfig,
    StaticTarget,
)

SCHEMA_NAME = "devtls.schema.json"
SCHEMA_LINE = f"#:schema ./{SCHEMA_NAME}\n".encode()
"""The comment by which taplo finds the schema of a file."""

_HIGHEST_PORT = 65535
_MODELS: dict[str, type[msgspec.Struct]] = {
    "serve": ServeConfig,
    "dns": DnsConfig,
    "pac": PacConfig,
    "ca": CaConfig,
    "acme": AcmeConfig,
    "limits": LimitsConfig,
}
_Schema = dict[str, Any]
_TEXT: _Schema = {"type": "string", "minLength": 1}


def config_schema() -> _Schema:
    """Return the schema as JSON values."""
    sections = {name: _section(name, SECTIONS[name]) for name in _MODELS}
    sections["routes"] = {
        "type": "object",
        "description": SECTIONS["routes"],
        "additionalProperties": {"anyOf": [_port(1), _TEXT, _route()]},
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "devtls.toml",
        "description": "What devtls serve reads.",
        "type": "object",
        "additionalProperties": False,
        "properties": sections,
    }


def _section(name: str, text: str) -> _Schema:
    model = _MODELS[name]
    hints = get_type_hints(model)
    keys = {
        key: _described(_value(name, key, hints[key]), _default(model, key), description)
        for key, description in SETTINGS[name].items()
    }
    return {"type": "object", "description": text, "additionalProperties": False, "properties": keys}


def _route() -> _Schema:
    options = {
        key: _described(_value("routes", key, get_type_hints(model)[key]), _default(model, key), description)
        for key, description in ROUTE.items()
        if key not in ("target", "static")
        for model in (StaticTarget if key in StaticTarget.__struct_fields__ else RouteConfig,)
    }
    options["target"] = _described({"anyOf": [_port(1), _TEXT]}, None, ROUTE["target"])
    options["static"] = _described(_TEXT, None, ROUTE["static"])
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": options,
        "oneOf": [{"required": ["target"]}, {"required": ["static"]}],
    }


def _described(schema: _Schema, default: object, description: Description) -> _Schema:
    unset = f" Default: {description.unset}." if description.unset else ""
    given = {} if default is None else {"default": default}
    text = description.text[:1].upper() + description.text[1:] + "."
    return {**schema, **given, "description": text + unset}


def _default(model: type[msgspec.Struct], key: str) -> object:
    """Return the default of a key; None where it has none that the file could say."""
    found = next(field.default for field in msgspec.structs.fields(model) if field.name == key)
    return None if found is msgspec.NODEFAULT or found == () else found


def _value(section: str, key: str, hint: object) -> _Schema:
    match section, key:
        case ("limits", _) | ("routes", "retry_down_s"):
            low, high = LIMIT_RANGES[key]
            return {"type": "number" if key.endswith("_s") else "integer", "minimum": low, "maximum": high}
        case "acme", "eab":
            return {"type": "object", "additionalProperties": _TEXT}
        case "acme", "http_port" | "tls_port":
            return {"anyOf": [_port(1), {"type": "object", "additionalProperties": _port(1)}]}
        case _:
            return _of_type(hint)


def _of_type(hint: object) -> _Schema:
    kinds = [kind for kind in get_args(hint) if kind is not NoneType]
    if get_origin(hint) is Literal:
        return {"type": "string", "enum": kinds}
    if hint is bool:
        return {"type": "boolean"}
    if int in (hint, *kinds):  # every number outside of [limits] is a port
        return _port(0)
    return {"anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1}]} if Ellipsis in kinds else _TEXT


def _port(lowest: int) -> _Schema:
    return {"type": "integer", "minimum": lowest, "maximum": _HIGHEST_PORT}
