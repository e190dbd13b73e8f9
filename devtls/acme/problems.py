"""Problem documents (RFC 7807) of the error types in RFC 8555 6.7.

Owns the kinds, the status of each, and the form of the document.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from devtls.errors import AcmeProblem

CONTENT_TYPE = "application/problem+json"

Kind = Literal[
    "accountDoesNotExist",
    "alreadyRevoked",
    "badCSR",
    "badNonce",
    "badPublicKey",
    "badRevocationReason",
    "badSignatureAlgorithm",
    "connection",
    "externalAccountRequired",
    "incorrectResponse",
    "invalidContact",
    "malformed",
    "orderNotReady",
    "rateLimited",
    "rejectedIdentifier",
    "serverInternal",
    "tls",
    "unauthorized",
    "unsupportedContact",
    "unsupportedIdentifier",
]

_URN = "urn:ietf:params:acme:error:"
_STATUS: dict[str, int] = {
    "externalAccountRequired": 403,
    "orderNotReady": 403,
    "rateLimited": 429,
    "serverInternal": 500,
    "unauthorized": 403,
}


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong; `names` are the identifiers that it is about, each with its own reason."""

    kind: Kind
    detail: str
    names: tuple[tuple[str, str], ...] = ()


def status_of(kind: str) -> int:
    """Return the status that a problem is answered with."""
    return _STATUS.get(kind, 400)


def document(problem: Problem) -> dict[str, object]:
    """Return a problem as it is sent."""
    shown: dict[str, object] = {"type": _URN + problem.kind, "detail": problem.detail}
    if problem.names:
        shown["subproblems"] = [
            {"type": _URN + problem.kind, "detail": reason, "identifier": {"type": "dns", "value": name}}
            for name, reason in problem.names
        ]
    return shown


def refused_document(error: AcmeProblem) -> dict[str, object]:
    """Return the document for a request that was refused."""
    shown: dict[str, object] = {"type": _URN + error.kind, "detail": str(error), "status": error.status}
    if error.names:
        shown |= document(Problem("rejectedIdentifier", str(error), error.names)) | {"type": _URN + error.kind}
    if error.algorithms:
        # RFC 8555 6.2: badSignatureAlgorithm names the algorithms that are taken.
        shown["algorithms"] = list(error.algorithms)
    return shown


def refusal(
    kind: Kind,
    detail: str,
    *,
    status: int = 0,
    retry_after_s: int = 0,
    names: tuple[tuple[str, str], ...] = (),
    algorithms: tuple[str, ...] = (),
    location: str = "",
) -> AcmeProblem:
    """Return the exception that refuses a request; `status` 0 means the kind's own."""
    return AcmeProblem(
        detail,
        kind=kind,
        status=status or status_of(kind),
        retry_after_s=retry_after_s,
        names=names,
        algorithms=algorithms,
        location=location,
    )
