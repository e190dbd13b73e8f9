"""The names of certificates for other servers and for clients: parsing, and the zones they must lie in.

Owns the reading of what a person or a certificate request names, and the reason why a name is refused, with the way
out. Refuses names outside the CA's zones, addresses that are not loopback, and wildcards that no browser accepts: those
directly below a name of one label.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Literal

from devtls.errors import InvalidName, NameNotPermitted
from devtls.names import Hostname, is_wildcard, parse_pattern, zone_of
from devtls.pki.leaf import Name, outside_zones
from devtls.pki.profile import LOOPBACK_NETWORKS

Kind = Literal["server", "client"]
"""The purpose of a certificate: a server's, or that of a client that authenticates with it."""

MAX_NAMES = 100


def parse_names(texts: Iterable[str], zones: Sequence[Hostname], kind: Kind) -> tuple[Name, ...]:
    """Return each name once, in the order given. Raises NameNotPermitted, InvalidName."""
    names = tuple(dict.fromkeys(_parse_name(text, zones, kind) for text in texts))
    if not names:
        raise InvalidName("There is no name to certify.", hint="devtls cert app." + zones[0])
    if len(names) > MAX_NAMES:
        raise InvalidName(f"{len(names)} names are too many for one certificate.", hint=f"at most {MAX_NAMES}")
    return names


def _parse_name(text: str, zones: Sequence[Hostname], kind: Kind) -> Name:
    address = _address(text)
    if address is not None:
        return _loopback(address, zones)
    if "@" in text:
        raise NameNotPermitted(
            f"{text!r} is a mail address, and the CA's constraints are about host names.",
            name=text,
            hint=f"a host name stands for a person as well: {_suggestion(text.partition('@')[0], zones)}",
        )
    name = parse_pattern(text)
    bare = name.removeprefix("*.")
    if zone_of(bare, zones) is None:
        raise _outside(name, bare, zones)
    if is_wildcard(name):
        _check_wildcard(name, bare, kind)
    return name


def _address(text: str) -> IPv4Address | IPv6Address | None:
    if "%" in text:  # a scope is the machine's own business, no certificate can hold it
        return None
    try:
        return ip_address(text[1:-1] if text.startswith("[") and text.endswith("]") else text)
    except ValueError:
        return None


def _loopback(address: IPv4Address | IPv6Address, zones: Sequence[Hostname]) -> Name:
    if not any(address in network for network in LOOPBACK_NETWORKS):
        raise NameNotPermitted(
            f"{address} is no loopback address: this CA can speak for 127.0.0.0/8 and ::1 only.",
            name=str(address),
            hint=f"give the machine a name in a zone, such as db.{zones[0]}, and certify that",
        )
    return address


def _outside(name: str, bare: str, zones: Sequence[Hostname]) -> NameNotPermitted:
    if "." in bare:
        return outside_zones(name, zones)
    return NameNotPermitted(
        f"{name!r} lies in none of this CA's zones ({', '.join(zones)}): a certificate holds names in full.",
        name=name,
        hint=f"did you mean {name}.{zones[0]}?",
    )


def _check_wildcard(name: str, bare: str, kind: Kind) -> None:
    if kind == "client":
        raise NameNotPermitted(
            f"{name!r} is no name for a client: whoever logs in has one name.", name=name, hint=f"such as me.{bare}"
        )
    if "." not in bare:
        raise NameNotPermitted(
            f"No browser accepts the wildcard {name!r}: it covers a whole top-level domain.",
            name=name,
            hint=f"a wildcard one label deeper works: *.app.{bare}",
        )


def _suggestion(text: str, zones: Sequence[Hostname]) -> str:
    label = "".join(char if char.isascii() and (char.isalnum() or char == "_") else "-" for char in text.lower()).strip(
        "-"
    )
    return f"{label or 'me'}.{zones[0]}"
