"""Host names and zones: normalising, IDNA, wildcards, and which zones a development CA may speak for.

Owns the text of names. Refuses what is no host name (letters, digits, inner hyphens and, as browsers have it,
underscores; RFC 1035 lengths) and zones that belong to the public or to mDNS. Everything is lower-case A-labels without
a trailing dot; nothing here resolves anything.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable
from typing import NewType

from devtls.errors import InvalidName

Hostname = NewType("Hostname", str)
"""A lower-case DNS name of A-labels, without a trailing dot, at most 253 characters."""

DEFAULT_ZONES: tuple[Hostname, ...] = (Hostname("dev.local"), Hostname("localhost"), Hostname("test"))
"""The zones of a CA that was made without `--zone`: the first one is shown in URLs."""

LOCALHOST = Hostname("localhost")

# RFC 6761 6.2 and 6.3 (test, localhost), and ICANN's reservation of .internal (2024): no registry can sell them.
_SINGLE_LABEL_ZONES = frozenset({"localhost", "test", "internal"})
# RFC 1123 2.1: a label may begin with a digit. RFC 1035 2.3.4: it has at most 63 bytes. RFC 1123 knows no underscore
# in a host name; DNS does (RFC 2181 11), and so do browsers, curl, OpenSSL and Caddy: `my_app` is a common name.
_LABEL = r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)"
_HOSTNAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\Z")
# 255 bytes on the wire (RFC 1035 2.3.4), less the first length byte and the root's.
_MAX_NAME = 253
_LONGEST_TEXT = 4 * _MAX_NAME


def parse_hostname(text: str) -> Hostname:
    """Return `text` as a Hostname; Unicode labels become A-labels (IDNA 2008, UTS 46 mapping).

    Raises InvalidName for an empty name, an IP address, a label over 63 or a name over 253 characters, and anything
    that is not letters, digits, underscores and inner hyphens.
    """
    # The dot of a full name stands neither in SNI (RFC 6066 3) nor in certificates.
    name = text[:-1] if text.endswith(".") else text
    # Before anything is done with it; A-labels are hardly ever shorter than what they stand for.
    if len(name) > _LONGEST_TEXT:
        raise InvalidName(f"The host name {text[:40]!r}… has more than {_MAX_NAME} characters.", name=text[:40])
    if not name.isascii():
        name = _to_a_labels(name)
    # DNS compares names without regard to case (RFC 4343); dictionaries and sets do not.
    name = name.lower()
    if not name:
        raise InvalidName("A host name cannot be empty.", name=text)
    if len(name) > _MAX_NAME:
        raise InvalidName(f"The host name {text[:40]!r}… has more than {_MAX_NAME} characters.", name=text)
    if not _HOSTNAME.match(name):
        raise InvalidName(
            f"{text!r} is not a host name.",
            name=text,
            hint="Use letters, digits, hyphens and underscores in labels of at most 63 characters, separated by dots.",
        )
    # 127.0.0.1 has the form of a host name; a certificate holds addresses as another kind (RFC 5280 4.2.1.6).
    if is_ip_address(name):
        raise InvalidName(f"{text!r} is an IP address, not a host name.", name=text)
    return Hostname(name)


def _to_a_labels(name: str) -> str:
    import idna  # a late import: 8 ms, and ASCII names never need it

    try:
        # Label by label: IDNA knows no underscore, and `my_app.bücher.test` has it in a label of ASCII alone.
        mapped = idna.uts46_remap(name, std3_rules=False).split(".")
        return ".".join(label if label.isascii() else idna.alabel(label).decode("ascii") for label in mapped)
    except idna.IDNAError as error:
        raise InvalidName(f"{name!r} is not an internationalised host name: {error}.", name=name) from error


def is_ip_address(text: str) -> bool:
    """Say whether `text` is an IPv4 or (unbracketed) IPv6 address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def is_below(name: str, zone: str) -> bool:
    """Say whether `name` is `zone` itself or lies below it, by whole labels."""
    # With the dot: mydev.local is not below dev.local.
    return name == zone or name.endswith("." + zone)


def zone_of(name: str, zones: Iterable[Hostname]) -> Hostname | None:
    """Return the longest of `zones` that holds `name`, or None."""
    holding = [zone for zone in zones if is_below(name, zone)]
    return max(holding, key=len) if holding else None


# Reserved (RFC 2606, 6761, 6762, 7686, ICANN) or of networks, and the oldest of the public ones. New ones (app, shop,
# blog) are what apps are called, too.
_FULL_ENDS = frozenset({
    "arpa", "biz", "com", "corp", "edu", "example", "gov", "home", "info", "int", "internal", "intranet", "invalid",
    "lan", "local", "localdomain", "localhost", "mil", "net", "onion", "org", "private", "test",
})  # fmt: skip
_ALIKE = 0.85
"""difflib's ratio for a zone that was misspelt by a letter or two."""


def looks_public(name: str) -> bool:
    """Say whether a name with dots looks like one in full: it ends in a country's code or in a well-known domain."""
    end = name.rpartition(".")[2]
    return end in _FULL_ENDS or (len(end) == 2 and end.isalpha())


def meant_zone(name: str, zones: Iterable[Hostname]) -> str:
    """Return the name in the zone that its end was meant to be, as in `app.dev` or `app.dev.lokal`; "" for none."""
    labels = name.split(".")
    for zone in zones:
        parts = zone.split(".")
        for count in range(1, min(len(parts), len(labels) - 1) + 1):
            end = ".".join(labels[-count:])
            if end == ".".join(parts[:count]) or (count == len(parts) and _alike(end, zone)):
                return f"{'.'.join(labels[:-count])}.{zone}"
    return ""


def _alike(one: str, other: str) -> bool:
    from difflib import SequenceMatcher  # 2 ms that only a name with dots in no zone has to pay

    return SequenceMatcher(None, one, other).ratio() >= _ALIKE


def parse_zone(text: str, *, is_public_suffix: Callable[[str], bool]) -> Hostname:
    """Return `text` as a zone that a development CA may be constrained to.

    Allowed: `localhost`, `test`, `internal`, `home.arpa`, or two and more labels that are no public suffix.
    `is_public_suffix` is only asked about names of two and more labels. Raises InvalidName with the reason.
    """
    zone = parse_hostname(text.removeprefix("*.").removeprefix("."))
    # home.arpa is for home networks (RFC 8375); nobody can register a name below localhost or test.
    if zone in _SINGLE_LABEL_ZONES or zone == "home.arpa" or is_below(zone, "localhost") or is_below(zone, "test"):
        return zone
    allowed = "Allowed are localhost, test, internal, home.arpa, or a name of two and more labels such as dev.local."
    # RFC 6762 3: any device on the network answers for its own name below .local.
    if zone == "local":
        raise InvalidName(
            "The zone 'local' belongs to mDNS: every printer and TV is named there.",
            name=text,
            hint="Use a zone below it, such as dev.local.",
        )
    if "." not in zone:
        raise InvalidName(f"The zone {zone!r} would be a whole top-level domain.", name=text, hint=allowed)
    if is_public_suffix(zone):
        raise InvalidName(
            f"The zone {zone!r} is a public suffix: strangers register names below it.", name=text, hint=allowed
        )
    return zone


def is_wildcard(pattern: str) -> bool:
    """Say whether a route name is of the form `*.name`."""
    return pattern.startswith("*.")


def pattern_holds(pattern: str, name: str) -> bool:
    """Say whether `name` is meant by a host name, by `*.name` (everything below it), or by `*` (everything)."""
    if is_wildcard(pattern):
        return name.endswith(pattern[1:])
    return pattern in ("*", name)


def parse_pattern(text: str) -> str:
    """Return a route name: a host name, or `*.` and a host name; raises InvalidName."""
    if is_wildcard(text):
        return "*." + parse_hostname(text[2:])
    if "*" in text:
        raise InvalidName(
            f"{text!r} has a wildcard in the wrong place.", name=text, hint="Write *.name: a star and a dot in front."
        )
    return parse_hostname(text)
