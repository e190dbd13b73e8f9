"""The limits of the CAs of a path: the names they may speak for, and the place they may stand in.

Owns RFC 5280's rules for CAs: basic constraints, key usage, path length, name constraints (DNS names and addresses,
the root's included: browsers apply those of roots that a person added). Each breach is one sentence.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from cryptography import x509

from devtls.config.lines import visible
from devtls.doctor.tls_check.certificate import Certificate
from devtls.doctor.tls_check.path import CertificationPath
from devtls.names import is_below


def find_breaches(path: CertificationPath) -> Iterator[str]:
    """Yield a sentence for each rule that a CA of the path breaks."""
    for position, authority in enumerate(path.certificates[1:]):
        if not authority.is_ca:
            yield f"{authority.subject} signed a certificate, but is no CA itself."
        elif not authority.may_sign:
            yield f"{authority.subject} signed a certificate, which its key usage does not allow."
        # Self-issued certificates do not count for the path length (RFC 5280 section 6.1.4 (l)).
        below = [each for each in path.certificates[1 : position + 1] if each.raw.subject != each.raw.issuer]
        if authority.path_length is not None and len(below) > authority.path_length:
            yield f"{authority.subject} may have {authority.path_length} CAs below itself, and has {len(below)}."
        if authority.purposes is not None and not authority.serves:
            yield f"{authority.subject} may not vouch for servers: its purposes (EKU) are others."
        yield from _outside(path.leaf, authority)


def _outside(leaf: Certificate, authority: Certificate) -> Iterator[str]:
    constraints = authority.name_constraints
    if constraints is None:
        return
    permitted, excluded = constraints.permitted_subtrees or (), constraints.excluded_subtrees or ()
    for name in leaf.dns_names:
        if _refused(_in_zones(name, permitted), _in_zones(name, excluded)):
            yield f"{authority.subject} may not speak for {visible(name)} (name constraints)."
    for address in leaf.ip_addresses:
        if _refused(_in_networks(address, permitted), _in_networks(address, excluded)):
            yield f"{authority.subject} may not speak for {address} (name constraints)."


def _refused(permitted: Sequence[bool], excluded: Sequence[bool]) -> bool:
    """Say whether a name is outside, given in which subtrees of its own kind it is; none permitted = all are."""
    # Exclusions win; a kind of name without permitted subtrees is free (RFC 5280 section 4.2.1.10).
    return any(excluded) or (bool(permitted) and not any(permitted))


def _in_zones(name: str, subtrees: Iterable[x509.GeneralName]) -> list[bool]:
    plain = name.removeprefix("*.").rstrip(".")
    zones = [each.value.lower() for each in subtrees if isinstance(each, x509.DNSName)]
    # A leading dot means "below it, not itself" to some verifiers and nothing to others; "" is every name.
    return [not zone or (plain.endswith(zone) if zone.startswith(".") else is_below(plain, zone)) for zone in zones]


def _in_networks(address: IPv4Address | IPv6Address, subtrees: Iterable[x509.GeneralName]) -> list[bool]:
    values = [each.value for each in subtrees if isinstance(each, x509.IPAddress)]
    return [address in value for value in values if isinstance(value, IPv4Network | IPv6Network)]
