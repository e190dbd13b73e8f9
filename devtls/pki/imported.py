"""The import of a CA that another tool made (step-ca, Vault, AD CS, mkcert).

Owns the list of its differences from a CA that devtls makes, and of their costs. Refuses a key that does not
belong to the certificate, kinds of keys that browsers do not take, zones that its constraints forbid, and everything
that `ca_chain` refuses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from devtls.errors import CertificateError, InvalidName, NameNotPermitted
from devtls.names import DEFAULT_ZONES, Hostname
from devtls.pki.authority import Authority
from devtls.pki.ca_chain import (
    Path,
    allows_loopback,
    allows_zone,
    check_dates,
    check_path,
    found,
    in_words,
    is_name_constrained,
    is_root,
    limits_of,
    may_sign_crls,
    order_path,
    permitted_names,
)
from devtls.pki.crl_files import root_crl_in
from devtls.pki.delegation import checked_key
from devtls.pki.intermediate import Intermediate, constrained_kinds, is_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from devtls.pki.signature import IssuerKey

    ParseZone = Callable[[str], Hostname]


class ImportBundle(msgspec.Struct, frozen=True):
    """A CA's certificate, its key, the certificates above it, and the root's CRL if there is one.

    `root_crl` is the content of a file, PEM or DER.
    """

    certificate: x509.Certificate
    key: IssuerKey
    others: tuple[x509.Certificate, ...] = ()
    root_crl: bytes = b""


class ValidatedCa(msgspec.Struct, frozen=True):
    """The CA as it will sign; `differences` from one of ours, in sentences."""

    authority: Authority
    differences: tuple[str, ...]
    name_constrained: bool


def validate_import(
    bundle: ImportBundle, *, zones: Iterable[Hostname], parse_zone: ParseZone, now: datetime, pki_port: int
) -> ValidatedCa:
    """Return the CA for `zones`; none = what its constraints permit, else the default ones. Raises CertificateError."""
    certificate = bundle.certificate
    if checked_key(certificate.public_key()) != bundle.key.public_key():
        raise CertificateError(f"The key does not belong to {in_words(certificate)}.", hint="--key FILE: its own")
    path = order_path(certificate, bundle.others)
    check_path(path)
    check_dates(path, now)
    limits = _zones(path, tuple(dict.fromkeys(zones)), parse_zone)
    authority = Authority(
        root=path[-1],
        intermediate=Intermediate(certificate, bundle.key),
        root_crl_der=root_crl_in(bundle.root_crl, path[-1]) if bundle.root_crl else b"",
        pki_port=pki_port,
        between=path[1:-1],
        limits=limits,
    )
    authority.check(now)
    if authority.withdrawn is not None:
        raise CertificateError(
            f"{in_words(certificate)} was revoked on {authority.withdrawn.revocation_date_utc:%Y-%m-%d}: it is on its "
            "root's CRL.",
            hint="ask the holder of the root's key for another",
        )
    return ValidatedCa(authority, tuple(_differences(path, now)), is_name_constrained(path))


def _zones(path: Path, wanted: tuple[Hostname, ...], parse_zone: ParseZone) -> tuple[Hostname, ...]:
    for zone in wanted:
        if not allows_zone(path, zone):
            raise NameNotPermitted(
                f"The constraints of {in_words(path[0])} do not permit {zone}.",
                name=zone,
                hint=f"it permits {', '.join(permitted_names(path)) or 'less'}",
            )
    chosen = wanted or tuple(_permitted_zones(path, parse_zone))
    if not chosen:
        raise CertificateError(
            f"The constraints of {in_words(path[0])} permit no zone that devtls could serve.",
            hint="--zone names one of those that it permits",
        )
    return chosen


def _permitted_zones(path: Path, parse_zone: ParseZone) -> Iterator[Hostname]:
    for name in permitted_names(path) or DEFAULT_ZONES:
        try:
            zone = parse_zone(name)
        except InvalidName:  # a whole top-level domain, or no host name
            continue
        if allows_zone(path, zone):
            yield zone


def _differences(path: Path, now: datetime) -> Iterator[str]:
    issuer = path[0]
    basic, usage = found(issuer, x509.BasicConstraints), found(issuer, x509.KeyUsage)
    if len(path) == 1:
        yield "It is a root that signs leaves itself: whoever gets the key on disk has the root, for good."
    elif not any(found(each, x509.NameConstraints) for each in path[:-1]) and limits_of(path):
        yield "Its constraints are on the root alone, where Java does not look."
    if basic is not None and basic.value.path_length != 0:
        yield "It may sign further CAs: an attacker could make one that looks like any other."
    kinds = [constrained_kinds(limits) for limits in limits_of(path)]
    if kinds and not {x509.RFC822Name, x509.UniformResourceIdentifier} <= set().union(*kinds):
        yield "Its constraints say nothing of mail addresses and URIs: an attacker could certify any, for clients."
    if not is_for(issuer, "client"):
        yield "It is for servers alone: devtls cert --client signs nothing with it."
    key = issuer.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        yield f"Its key is RSA with {key.key_size} bits: signing takes ten times as long and more (3,072 bits: 1 ms)."
    if not may_sign_crls(issuer):
        yield (
            "It may not sign CRLs (no cRLSign): nothing can be revoked, and clients that insist on CRLs "
            "(curl on Windows, .NET) refuse what it signs."
        )
    if not allows_loopback(path):
        yield "It does not permit 127.0.0.1 and ::1: an address instead of a name gets no certificate."
    if found(issuer, x509.ExtendedKeyUsage) is None:
        yield "It is for every purpose, mail and programs included, not for servers and their clients alone."
    if usage is None or found(issuer, x509.SubjectKeyIdentifier) is None or (basic is not None and not basic.critical):
        yield "OpenSSL in strict mode, as in Python 3.13, refuses it: an extension is missing or not critical."
    if not is_root(issuer) and found(issuer, x509.CRLDistributionPoints) is None:
        yield "It names no CRL of its own, so clients that insist on one refuse it."
    end = min(certificate.not_valid_after_utc for certificate in path)
    left = (end - now).days
    days = "1 day" if left == 1 else f"{left} days"
    yield f"It ends on {end:%Y-%m-%d}, in {days}; devtls cannot renew it, only import the next one."
