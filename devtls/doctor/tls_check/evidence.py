"""The facts about a server, before any decision: the input of `verdict` and `failure`.

Owns the values alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from devtls.doctor.tls_check.address import Address
from devtls.doctor.tls_check.certificate import Certificate
from devtls.doctor.tls_check.path import CertificationPath
from devtls.doctor.tls_check.revocation import Revocation
from devtls.names import Hostname

OPENSSL = "OpenSSL"
STRICT = "OpenSSL, strict"
CRYPTOGRAPHY = "cryptography"


@dataclass(frozen=True, slots=True)
class Handshake:
    """A completed handshake, nothing in it verified.

    `certificates` are DER as sent, the server's own first; `whole` = all that was sent could be read. `browserly` =
    with protocols and ciphers that browsers offer. `hsts` is the header's value (None = no answer or no header).
    """

    ip: str
    certificates: tuple[bytes, ...]
    whole: bool
    protocol: str
    cipher: str
    alpn: str
    browserly: bool = True
    hsts: str | None = None
    wants_certificate: bool = False
    """Who shows no certificate gets no answer; TLS 1.3 says so after the handshake."""


class FailureReason(Enum):
    """The reason why no handshake was completed."""

    UNKNOWN_NAME = "name does not resolve"
    REFUSED = "port closed"
    UNREACHABLE = "unreachable"
    SILENT = "no answer in time"
    CUT = "connection cut"
    PLAIN_HTTP = "plain HTTP"
    NOT_TLS = "not TLS"
    UNRECOGNIZED_NAME = "unrecognized_name"
    NO_SHARED_PROTOCOL = "no shared protocol"
    WANTS_CERTIFICATE = "wants a client certificate"
    OTHER_ALERT = "handshake refused"
    UNREADABLE = "unreadable certificate"


@dataclass(frozen=True, slots=True)
class HandshakeFailed:
    """`detail` is the message of the system or the server, `ip` the address, `open_port` another port that listens."""

    reason: FailureReason
    detail: str = ""
    ip: str = ""
    open_port: int = 0


@dataclass(frozen=True, slots=True)
class StoreAnswer:
    """Whether one store trusts the root of a path; None = it could not be asked, `detail` says why.

    `kind` is system, browser, runtime or given (`--ca`).
    """

    name: str
    label: str
    kind: str
    trusts: bool | None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class VerifierResult:
    """The verdict of an independent verifier on the same chain and the same roots; `verifier` is one of the above."""

    verifier: str
    accepts: bool
    says: str = ""


@dataclass(frozen=True, slots=True)
class LocalCa:
    """The development CA of this machine: without a root there is none, and the zones are what one would have."""

    zones: tuple[Hostname, ...]
    root: Certificate | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """All facts about a server that showed a certificate; `public` = the root is one that browsers bring along."""

    address: Address
    handshake: Handshake
    path: CertificationPath
    stores: tuple[StoreAnswer, ...]
    public: bool
    revocations: tuple[Revocation, ...]
    verifiers: tuple[VerifierResult, ...]
    local_ca: LocalCa
    now: datetime
