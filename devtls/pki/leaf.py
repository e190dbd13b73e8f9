"""Leaf certificates, and the signer that issues them.

Owns the bytes of a leaf; every leaf is for a name inside the zones. Refuses other names, and a clock outside the CA's
life.
Strategy: a Signer holds all that a proxy needs to issue leaves, derived once from the CA's certificates (`SignerFacts`
are the part of it that the key store may keep), so that issuing is a few joined byte strings and a signature, and no
start has to wait for an X.509 parser (measured: `devtls.pki.der`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from devtls.errors import CertificateError, NameNotPermitted
from devtls.names import LOCALHOST, Hostname, zone_of
from devtls.pki import der
from devtls.pki.signature import ECDSA_SHA256, SignatureScheme, point_identifier

if TYPE_CHECKING:
    from devtls.pki.signature import IssuerKey

NEW_CA = "devtls untrust --forget, then devtls trust"
"""The hint for a CA that cannot be used any more."""

RENEW = "devtls ca renew"
"""The hint for a CA that comes to its end."""

LOOPBACK_ADDRESSES = (ip_address("127.0.0.1"), ip_address("::1"))

# The last bit but one of 20 bytes: the topmost stays clear, so that the number is positive (RFC 5280 4.1.2.2).
TRANSIENT = 1 << 158
"""The bit of a serial number that says: minted by a running proxy, in no register. All others are recorded.

The OCSP responder answers for both kinds, also for what another running proxy of this CA minted."""

Name = str | IPv4Address | IPv6Address
"""The subject of a leaf: a host name or an address."""

_V3 = bytes.fromhex("a003020102")  # version [0] EXPLICIT INTEGER 2, as extensions need it (RFC 5280 4.1.2.1)
# RFC 9525 2: a server is named by its alternative names alone, so a leaf needs no common name.
_NO_SUBJECT = der.sequence()
_OCSP = bytes.fromhex("06082b06010505073001")  # id-ad-ocsp (RFC 5280 4.2.2.1)
_CRITICAL = bytes.fromhex("0101ff")  # BOOLEAN TRUE; FALSE is the default, which DER leaves out (X.690 11.5)


class Profile(msgspec.Struct, frozen=True):
    """The lifetimes of everything that is signed."""

    root_lifetime: timedelta = timedelta(days=3650)
    leaf_lifetime: timedelta = timedelta(days=90)  # Apple refuses more than 825 days from any anchor
    probe_lifetime: timedelta = timedelta(minutes=5)
    crl_lifetime: timedelta = timedelta(days=7)
    backdate: timedelta = timedelta(hours=1)  # phones and virtual machines whose clock is behind
    warn_before: timedelta = timedelta(days=60)  # the end of a CA is announced that long before


PROFILE = Profile()


def whole_seconds(moment: datetime) -> datetime:
    """Return `moment` as a certificate can hold it."""
    return moment.replace(microsecond=0)


def crl_url(pki_port: int, path: str) -> str:
    """Return where `serve` publishes a CRL: plain HTTP, since it must be readable before trust exists."""
    return f"http://127.0.0.1:{pki_port}{path}"


def ocsp_url(pki_port: int) -> str:
    """Return where `serve` answers for the status of one certificate."""
    return f"http://127.0.0.1:{pki_port}/ocsp"


def crl_path(role: str, ca_id: str) -> str:
    """Return the path of the root's or the intermediate's CRL on the PKI port."""
    return f"/{role}-{ca_id}.crl"


def outside_zones(name: str, zones: Sequence[Hostname]) -> NameNotPermitted:
    """Return the error for a name that no certificate of a CA with these zones may hold."""
    return NameNotPermitted(
        f"{name!r} lies in none of this CA's zones ({', '.join(zones)}).",
        name=name,
        hint="devtls ca renew --zone ZONE: a new zone needs a new root",
    )


class Leaf(msgspec.Struct, frozen=True):
    """One server certificate with its key: PEM texts ready to be loaded."""

    names: tuple[str, ...]
    chain_pem: bytes
    key_pem: bytes
    not_before: datetime
    not_after: datetime
    serial: int

    def __repr__(self) -> str:
        # A leaf may be printed, its key never.
        return f"Leaf({', '.join(self.names)}; serial {self.serial:x}; until {self.not_after:%Y-%m-%d %H:%M})"

    def usable(self, now: datetime) -> bool:
        """Say whether the leaf may still be served: valid, and before two thirds of its life."""
        return self.not_before <= now < self.not_before + (self.not_after - self.not_before) * 2 / 3

    @property
    def pem(self) -> bytes:
        """Leaf, intermediate and key in one text."""
        return self.chain_pem + self.key_pem


# `signs_lists` is what the field is called in the seals that are on disk.
class SignerFacts(msgspec.Struct, frozen=True, kw_only=True, rename={"signs_crls": "signs_lists"}):
    """The facts about a CA that issuing needs; nothing in it is secret.

    `name` is the intermediate's subject (DER), `identifier` its key's, `fingerprint` SHA-256 of the root (hex); the
    dates are the intermediate's. `generation` tells it from a CA with the same root; a CA that was made elsewhere may
    sign no CRLs, and no loopback addresses.
    """

    id: str
    fingerprint: str
    zones: tuple[Hostname, ...]
    pki_port: int
    name: bytes
    identifier: bytes
    not_before: datetime
    not_after: datetime
    generation: str = ""
    signs_crls: bool = True
    addresses: bool = True


class Signer(SignerFacts, frozen=True, kw_only=True):
    """The part of a CA that mints leaves."""

    root_pem: bytes
    intermediate_pem: bytes
    key: IssuerKey
    scheme: SignatureScheme = ECDSA_SHA256
    """How `key` signs."""
    ocsp: bool = False
    """Whether leaves say where their status can be asked."""

    @property
    def directory_name(self) -> str:
        """The name of the CA's directory; a seal from before there was `generation` does not say it."""
        return self.generation or f"ca-{self.id}"

    @property
    def root_crl_path(self) -> str:
        """Where the root's CRL is on the PKI port."""
        return crl_path("root", self.id)

    @property
    def intermediate_crl_path(self) -> str:
        """Where the intermediate's CRL is on the PKI port."""
        return crl_path("intermediate", self.directory_name.removeprefix("ca-"))

    def permits(self, name: str) -> bool:
        """Say whether `name` (lower-case A-labels) lies in one of the zones."""
        return zone_of(name, self.zones) is not None

    def issue(self, name: Hostname, *, now: datetime, key: ec.EllipticCurvePrivateKey, serial: int) -> Leaf:
        """Return a leaf for `name`; raises NameNotPermitted, or CertificateError outside the life of the CA."""
        if not self.permits(name):
            raise outside_zones(name, self.zones)
        return self._issue((name,), now=now, key=key, serial=serial)

    def issue_default(self, *, now: datetime, key: ec.EllipticCurvePrivateKey, serial: int) -> Leaf:
        """Return the leaf for clients without SNI: localhost (if it is a zone of ours), 127.0.0.1, ::1."""
        addresses: tuple[Name, ...] = LOOPBACK_ADDRESSES if self.addresses else ()
        names = (LOCALHOST, *addresses) if self.permits(LOCALHOST) else addresses
        # RFC 5280 4.2.1.6: a certificate without a subject needs an alternative name.
        if not names:
            raise NameNotPermitted("This CA permits neither localhost nor loopback addresses.", name=LOCALHOST)
        return self._issue(names, now=now, key=key, serial=serial)

    def _issue(self, names: Sequence[Name], *, now: datetime, key: ec.EllipticCurvePrivateKey, serial: int) -> Leaf:
        self.check_dates(now)
        start = whole_seconds(now)
        # A chain is good only while all of it is: a leaf that outlives its CA would fail before its own end.
        end = min(start + PROFILE.leaf_lifetime, self.not_after)
        return sign_leaf(self, names, not_before=start - PROFILE.backdate, not_after=end, key=key, serial=serial)

    def check_dates(self, now: datetime) -> None:
        """Raise CertificateError unless `now` is inside the CA's life."""
        if now < self.not_before:
            raise CertificateError(
                f"The clock says {now:%Y-%m-%d}, but the CA was made on {self.not_before:%Y-%m-%d}.",
                hint="Set the clock of this machine right.",
            )
        if now >= self.not_after:
            raise CertificateError(f"The CA ended on {self.not_after:%Y-%m-%d}.", hint=RENEW)


def sign_leaf(
    signer: Signer,
    names: Sequence[Name],
    *,
    not_before: datetime,
    not_after: datetime,
    key: ec.EllipticCurvePrivateKey,
    serial: int,
) -> Leaf:
    """Sign a leaf without asking whether its names are permitted: for `Signer.issue` and the trust proof alone."""
    key_point = der.point(key.public_key())
    content = der.sequence(
        _V3,
        der.integer(serial),
        signer.scheme.algorithm,
        signer.name,
        der.sequence(der.time(not_before), der.time(not_after)),
        _NO_SUBJECT,
        der.public_key_info(key_point),
        der.encode(0xA3, der.sequence(*_extensions(signer, names, point_identifier(key_point)))),
    )
    certificate = der.sequence(
        content, signer.scheme.algorithm, der.bit_string(signer.scheme.sign(signer.key, content))
    )
    return Leaf(
        names=tuple(str(name) for name in names),
        # RFC 8446 4.4.2: the leaf comes first.
        chain_pem=der.pem("CERTIFICATE", certificate) + signer.intermediate_pem,
        key_pem=der.key_pem(key),
        not_before=not_before,
        not_after=not_after,
        serial=serial,
    )


def _extensions(signer: Signer, names: Sequence[Name], identifier: bytes) -> list[bytes]:
    """Return a leaf's extensions: an empty subject, hence critical alternative names (RFC 5280 4.1.2.6)."""
    extensions = [
        # basicConstraints (RFC 5280 4.2.1.9): cA is FALSE by default, so the sequence is empty.
        _extension("551d13", der.sequence(), _CRITICAL),
        # keyUsage (4.2.1.3): digitalSignature alone is all that TLS 1.3 and ECDHE need of an EC key; 7 unused bits.
        _extension("551d0f", bytes.fromhex("03020780"), _CRITICAL),
        # extKeyUsage (4.2.1.12): serverAuth; Apple refuses a server certificate without it.
        _extension("551d25", bytes.fromhex("300a06082b06010505070301")),
        # subjectKeyIdentifier (4.2.1.2) and authorityKeyIdentifier (4.2.1.1): OpenSSL's strict mode wants both.
        _extension("551d0e", der.byte_string(identifier)),
        _extension("551d23", der.sequence(der.encode(0x80, signer.identifier))),
        # subjectAltName (4.2.1.6).
        _extension("551d11", der.sequence(*(_general_name(name) for name in names)), _CRITICAL),
    ]
    if signer.signs_crls:
        # cRLDistributionPoints (4.2.1.13): distributionPoint [0], fullName [0]. curl, git and .NET on Windows refuse a
        # chain without revocation data.
        place = der.encode(0xA0, der.encode(0xA0, _url(crl_url(signer.pki_port, signer.intermediate_crl_path))))
        extensions.append(_extension("551d1f", der.sequence(der.sequence(place))))
    if signer.ocsp:
        responder = der.sequence(_OCSP, _url(ocsp_url(signer.pki_port)))
        extensions.append(_extension("2b06010505070101", der.sequence(responder)))  # authorityInfoAccess
    return extensions


def _url(text: str) -> bytes:
    return der.encode(0x86, text.encode("ascii"))  # uniformResourceIdentifier [6] (RFC 5280 4.2.1.6)


def _extension(identifier: str, value: bytes, critical: bytes = b"") -> bytes:
    return der.sequence(der.encode(0x06, bytes.fromhex(identifier)), critical, der.byte_string(value))


def _general_name(name: Name) -> bytes:
    # dNSName [2], iPAddress [7] in network byte order.
    return der.encode(0x82, name.encode("ascii")) if isinstance(name, str) else der.encode(0x87, name.packed)
