"""Requests and responses of the ACME server, its policy, and the work that a request leads to.

Owns these shapes, the paths of the resources, and how payloads are read. Refuses payloads of another shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TypeVar

import msgspec
import msgspec.json

from devtls.acme.encoding import SeededTokens
from devtls.acme.model import ChallengeKind
from devtls.acme.problems import refusal
from devtls.acme.signed import Envelope, Jwk
from devtls.names import Hostname, pattern_holds

JOSE = "application/jose+json"
JSON = "application/json"
PEM_CHAIN = "application/pem-certificate-chain"

DIRECTORY, NEW_NONCE, NEW_ACCOUNT, NEW_ORDER = "/directory", "/new-nonce", "/new-account", "/new-order"
REVOKE, KEY_CHANGE, RENEWAL_INFO = "/revoke-cert", "/key-change", "/renewal-info"
ACCOUNT, ORDER, AUTHORIZATION = "/account/", "/order/", "/authorization/"
CHALLENGE, CERTIFICATE = "/challenge/", "/certificate/"

_PayloadT = TypeVar("_PayloadT")


class AcmeRequest(msgspec.Struct, frozen=True):
    """One HTTP request; `host` is the client's Host, with which the URLs in responses begin."""

    method: str
    path: str
    host: str
    content_type: str = ""
    body: bytes = b""


class AcmeResponse(msgspec.Struct, frozen=True):
    """One HTTP response."""

    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


class Policy(msgspec.Struct, frozen=True):
    """The zones, account bindings and challenges of this server.

    `bindings` are the keys of external accounts by their names: with one or more, each new account needs one.
    `tls_names` are the names (patterns) that can be validated by tls-alpn-01.
    """

    zones: tuple[Hostname, ...]
    bindings: Mapping[str, bytes] = {}
    tls_names: tuple[str, ...] = ()

    def challenges(self, name: str) -> tuple[ChallengeKind, ...]:
        """Return the kinds of challenges that are possible for a name."""
        by_tls = any(pattern_holds(pattern, name) for pattern in self.tls_names)
        return ("http-01", "tls-alpn-01") if by_tls else ("http-01",)


class RequestContext(msgspec.Struct, frozen=True):
    """The time of one request, its random tokens, the base URL of the server, and the policy."""

    now: datetime
    tokens: SeededTokens
    base: str
    policy: Policy


class SignedRequest(msgspec.Struct, frozen=True):
    """A request whose signature was verified; `account` is the id of its account, "" for a key without one."""

    envelope: Envelope
    key: Jwk
    account: str = ""

    @property
    def is_get(self) -> bool:
        """Whether this is POST-as-GET (RFC 8555 6.3)."""
        return not self.envelope.payload

    def read(self, kind: type[_PayloadT]) -> _PayloadT:
        """Return the payload. Raises AcmeProblem when it has another shape."""
        try:
            return msgspec.json.decode(self.envelope.payload, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise refusal("malformed", f"The payload cannot be used: {error}.") from error


class Validate(msgspec.Struct, frozen=True):
    """Fetch the proof of a challenge from the server of `name`; the result goes to `AcmeServer.validated`."""

    order: str
    index: int
    kind: ChallengeKind
    name: str
    token: str
    key_authorization: str


class Issue(msgspec.Struct, frozen=True):
    """Check a certificate request (DER) and sign a certificate for exactly `names`.

    `account_key` (SubjectPublicKeyInfo, DER) may not be the certificate's. The result goes to `AcmeServer.issued`.
    """

    order: str
    request: bytes
    names: tuple[str, ...]
    account_key: bytes


class Revoke(msgspec.Struct, frozen=True):
    """Revoke a certificate (DER), if it is this CA's. The result goes to `AcmeServer.revoked`."""

    certificate: bytes
    reason: str


class Renewal(msgspec.Struct, frozen=True):
    """Look up when a certificate should be renewed; `issuer` is the key identifier. Result: `AcmeServer.advised`."""

    issuer: bytes
    serial: int


Work = Validate | Issue | Revoke | Renewal


class AcmeOutcome(msgspec.Struct, frozen=True):
    """The result of a request. With `Issue`, `Revoke` and `Renewal` there is no response yet: the work comes first."""

    response: AcmeResponse | None
    work: Work | None = None


def json_response(status: int, content: object, *headers: tuple[str, str]) -> AcmeResponse:
    """Return a response in JSON."""
    return AcmeResponse(status, msgspec.json.encode(content), JSON, headers)


def json_outcome(status: int, content: object, *headers: tuple[str, str], work: Work | None = None) -> AcmeOutcome:
    """Return an outcome whose response is JSON."""
    return AcmeOutcome(json_response(status, content, *headers), work)


def stamp(moment: datetime) -> str:
    """Return a time in the format of RFC 3339, in whole seconds."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
