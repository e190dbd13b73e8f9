"""Authorizations and their challenges, http-01 and tls-alpn-01 (RFC 8555 7.5 and 8, RFC 8737).

Owns the expected proof of each challenge, and its check. Refuses proofs that are longer than they need to be, and
certificates of tls-alpn-01 with more than their one name. It connects to nothing: `Validate` is work for the caller.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any, Literal

import msgspec
from cryptography import x509
from msgspec.structs import replace

from devtls.acme import messages
from devtls.acme.messages import AcmeOutcome, RequestContext, SignedRequest, Validate, json_outcome, stamp
from devtls.acme.model import AcmeOrder, Authorization, Challenge, Ledger, advanced, settle, with_authorization
from devtls.acme.orders import own_order
from devtls.acme.problems import Problem, document, refusal

WELL_KNOWN = "/.well-known/acme-challenge/"
ALPN = "acme-tls/1"
_IDENTIFIER = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")  # RFC 8737 6.1, id-pe-acmeIdentifier
_SHOWN_BYTES = 100


class _AuthorizationChange(msgspec.Struct):
    status: Literal["deactivated"]


def authorization(ledger: Ledger, signed: SignedRequest, context: RequestContext, rest: tuple[str, ...]) -> AcmeOutcome:
    """Show an authorization, or give it up."""
    order, index = _found(ledger, signed, rest)
    one = order.authorizations[index]
    if not signed.is_get:
        one = replace(one, status=signed.read(_AuthorizationChange).status)
        order = with_authorization(order, index, one)
        ledger.orders[order.id] = advanced(order) if order.status in ("pending", "ready") else order
    return json_outcome(200, _shown(order, index, one, context))


def challenge(ledger: Ledger, signed: SignedRequest, context: RequestContext, rest: tuple[str, ...]) -> AcmeOutcome:
    """Show a challenge; the first POST that is no POST-as-GET says that its proof is there."""
    order, index = _found(ledger, signed, rest[:2])
    one = order.authorizations[index]
    wanted = next((each for each in one.challenges if (each.kind,) == rest[2:]), None)
    if wanted is None:
        raise refusal("malformed", "There is no such challenge.", status=404)
    work = None
    if not signed.is_get:
        # RFC 8555 7.5.1: an object, {} for these two kinds; members that are unknown are ignored.
        signed.read(dict[str, Any])
        # A client that says it again starts no second check.
        if order.status == one.status == wanted.status == "pending":
            wanted = replace(wanted, status="processing", since=context.now)
            ledger.orders[order.id] = with_authorization(order, index, _with_challenge(one, wanted))
            proof = f"{wanted.token}.{ledger.accounts[signed.account].thumbprint}"
            work = Validate(order.id, index, wanted.kind, one.name, wanted.token, proof)
    # RFC 8555 7.1: a challenge links to its authorization as "up".
    up = f'<{context.base}{messages.AUTHORIZATION}{order.id}/{index}>;rel="up"'
    return json_outcome(200, _challenge(order, index, wanted, context), ("Link", up), work=work)


def validated(ledger: Ledger, work: Validate, problem: Problem | None, context: RequestContext) -> None:
    """Apply the result of a challenge; one of an order that was removed meanwhile is dropped."""
    order = ledger.orders.get(work.order)
    if order is not None:
        ledger.orders[order.id] = settle(order, work.index, work.kind, problem, context.now)


def _found(ledger: Ledger, signed: SignedRequest, rest: tuple[str, ...]) -> tuple[AcmeOrder, int]:
    order = own_order(ledger, signed, rest[0])
    # isdecimal() alone takes the digits of every script.
    if len(rest) != 2 or not rest[1].isascii() or not rest[1].isdecimal():
        raise refusal("malformed", "There is nothing here.", status=404)
    # int() refuses, or takes long over, thousands of digits (CVE-2020-10735); MOST_NAMES needs two.
    index = int(rest[1][:4])
    if index >= len(order.authorizations):
        raise refusal("malformed", "There is no such authorization.", status=404)
    return order, index


def _with_challenge(one: Authorization, changed: Challenge) -> Authorization:
    return replace(one, challenges=tuple(changed if each.kind == changed.kind else each for each in one.challenges))


def _shown(order: AcmeOrder, index: int, one: Authorization, context: RequestContext) -> dict[str, Any]:
    # An order that failed takes its open authorizations along: no client should go on with one.
    status = "invalid" if one.status == "pending" and order.status == "invalid" else one.status
    return {
        "identifier": {"type": "dns", "value": one.name},
        "status": status,
        "expires": stamp(order.expires),
        "challenges": [_challenge(order, index, each, context) for each in one.challenges],
    }


def _challenge(order: AcmeOrder, index: int, one: Challenge, context: RequestContext) -> dict[str, Any]:
    content: dict[str, Any] = {
        "type": one.kind,
        "url": f"{context.base}{messages.CHALLENGE}{order.id}/{index}/{one.kind}",
        "status": one.status,
        "token": one.token,
    }
    if one.status == "valid" and one.since is not None:
        content["validated"] = stamp(one.since)
    if one.error is not None:
        content["error"] = document(one.error)
    return content


def check_http_response(work: Validate, status: int, body: bytes) -> Problem | None:
    """Say what is wrong with the answer to http-01, None for nothing (RFC 8555 8.3)."""
    if status != 200:
        return Problem("unauthorized", f"{WELL_KNOWN}{work.token} was answered with {status}, not 200.")
    # RFC 8555 8.3: white space at the end should be ignored.
    if body.rstrip(b" \t\r\n") != work.key_authorization.encode("ascii"):
        found = body[:_SHOWN_BYTES].decode("ascii", "backslashreplace")
        return Problem("incorrectResponse", f"{WELL_KNOWN}{work.token} has other content: {found!r}.")
    return None


def check_alpn_certificate(work: Validate, alpn: str | None, certificate: bytes) -> Problem | None:
    """Say what is wrong with the certificate (DER) that was shown for tls-alpn-01, None for nothing (RFC 8737 3)."""
    if alpn != ALPN:
        return Problem("tls", f"{work.name} was reached, but does not speak {ALPN}.")
    try:
        extensions = x509.load_der_x509_certificate(certificate).extensions
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        identifier = extensions.get_extension_for_oid(_IDENTIFIER)
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension) as error:
        return Problem("incorrectResponse", f"The certificate that {work.name} showed is none for {ALPN}: {error}")
    # RFC 8737 3: exactly one name.
    if [name.value for name in names] != [work.name] or not isinstance(names[0], x509.DNSName):
        return Problem("incorrectResponse", f"The certificate that was shown is not for {work.name} alone.")
    # The value is an OCTET STRING of 32 bytes.
    expected = b"\x04\x20" + sha256(work.key_authorization.encode("ascii")).digest()
    # RFC 8737 3: the extension must be critical.
    if not identifier.critical or identifier.value.public_bytes() != expected:
        return Problem("incorrectResponse", f"The certificate that {work.name} showed is for another challenge.")
    return None
