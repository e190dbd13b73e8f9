"""The tables of `devtls.toml`: names, types, defaults and ranges from the model, the sentence from the descriptions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from types import NoneType
from typing import Literal, get_args, get_origin, get_type_hints

import msgspec

from devtls.config.descriptions import ROUTE, SETTINGS, Description
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

SECTIONS: dict[str, type[msgspec.Struct]] = {
    "serve": ServeConfig,
    "dns": DnsConfig,
    "pac": PacConfig,
    "ca": CaConfig,
    "acme": AcmeConfig,
    "limits": LimitsConfig,
}
_UNITS = {"_s": "s", "_bytes": "bytes"}
_TYPES = {
    "target": "text or a port",
    "http_port": "a port, or a table",
    "tls_port": "a port, or a table",
    "eab": "a table",
}
"""Keys that the model holds in another shape than the file."""


def table(titles: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    head = list(titles)
    lines = [head, ["---"] * len(head), *(list(row) for row in rows)]
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)


def section(name: str) -> str:
    """Return the table of one section with a type and a default for each key."""
    kind, hints = SECTIONS[name], get_type_hints(SECTIONS[name])
    return table(
        ("Key", "Type", "Default", "Means"),
        (
            (f"`{key}`", _type(key, hints[key], in_file=name == "acme"), _default(kind, key, described), described.text)
            for key, described in SETTINGS[name].items()
        ),
    )


def route_options() -> str:
    """Return the table of a route's options."""
    rows = []
    for key, described in ROUTE.items():
        model = StaticTarget if key in StaticTarget.__struct_fields__ else RouteConfig
        hint = str if key == "static" else get_type_hints(model)[key]
        rows.append((f"`{key}`", _type(key, hint), _default(model, key, described), described.text))
    return table(("Option", "Type", "Default", "Means"), rows)


def limits() -> str:
    """Return the table of the limits, with unit and range."""
    rows = []
    for key, described in SETTINGS["limits"].items():
        low, high = LIMIT_RANGES[key]
        unit = described.unit or next(unit for suffix, unit in _UNITS.items() if key.endswith(suffix))
        default = f"{_field_default(LimitsConfig, key):.10g}"
        rows.append((f"`{key}`", default, unit, f"{low:.10g}–{high:.10g}", described.text))
    return table(("Key", "Default", "Unit", "Range", "What it bounds"), rows)


def _type(key: str, hint: object, *, in_file: bool = True) -> str:
    if in_file and key in _TYPES:
        return _TYPES[key]
    choices = [each for each in get_args(hint) if each is not NoneType] or [hint]
    if get_origin(hint) is Literal:
        return " or ".join(f'`"{each}"`' for each in choices)
    if hint == tuple[str, ...]:
        return "texts"
    names: dict[object, str] = {bool: "true or false", int: "a port", float: "seconds", str: "text"}
    return names[choices[0]]


def _default(kind: type[msgspec.Struct], key: str, described: Description) -> str:
    value = None if described.unset else _field_default(kind, key)
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, str):
        return f'`"{value}"`'
    return described.unset or ("" if value is None else f"`{value}`")


def _field_default(kind: type[msgspec.Struct], key: str) -> object:
    defaults = {field.name: field.default for field in msgspec.structs.fields(kind)}
    return None if defaults.get(key, msgspec.NODEFAULT) is msgspec.NODEFAULT else defaults[key]


REGIONS: dict[str, Callable[[], str]] = {
    **{name: partial(section, name) for name in SECTIONS if name != "limits"},
    "routes": route_options,
    "limits": limits,
}
