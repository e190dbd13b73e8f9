"""ACME orders: creation, finalization, and the certificate (RFC 8555 7.4).

Owns the rules for names and the rate limit. Refuses names outside the zones of the CA, each with its reason,
wildcards (they need dns-01, and there is no DNS zone that a client could write to), addresses, and chosen dates.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
from msgspec.structs import replace

from devtls.acme import messages, renewal
from devtls.acme.encoding import from_text
from devtls.acme.messages import (
    AcmeOutcome,
    AcmeResponse,
    Issue,
    RequestContext,
    SignedRequest,
    json_outcome,
    json_response,
    stamp,
)
from devtls.acme.model import AcmeCertificate, AcmeOrder, Authorization, Challenge, Ledger
from devtls.acme.problems import document, refusal
from devtls.acme.signed import key_info
from devtls.errors import InvalidName
from devtls.names import Hostname, is_wildcard, parse_hostname, zone_of

ORDERS_PER_HOUR = 300
MOST_NAMES = 100
_HOUR = timedelta(hours=1)


class _Identifier(msgspec.Struct):
    type: str
    value: str


class _NewOrder(msgspec.Struct, rename="camel"):
    identifiers: tuple[_Identifier, ...]
    not_before: str | None = None
    not_after: str | None = None
    profile: str | None = None
    replaces: str | None = None


class _Finalize(msgspec.Struct):
    csr: str


def new_order(ledger: Ledger, signed: SignedRequest, context: RequestContext) -> AcmeOutcome:
    """Begin: one authorization for each name."""
    wanted = signed.read(_NewOrder)
    # RFC 8555 7.4: an order that cannot be fulfilled as it is written is refused, never changed.
    if wanted.not_before is not None or wanted.not_after is not None or wanted.profile is not None:
        raise refusal(
            "malformed", "Dates and profile are this CA's own; order without notBefore, notAfter and profile."
        )
    names = _names(wanted.identifiers, context.policy.zones)
    if wanted.replaces is not None:
        # Only to refuse what does not name a certificate (RFC 9773 4.1).
        renewal.renewal_request(wanted.replaces)
    _check_rate(ledger, signed.account, context)
    order = AcmeOrder(
        id=context.tokens.token(),
        account=signed.account,
        names=names,
        created=context.now,
        replaces=wanted.replaces,
        authorizations=tuple(
            Authorization(
                name, tuple(Challenge(kind, context.tokens.token()) for kind in context.policy.challenges(name))
            )
            for name in names
        ),
    )
    ledger.orders[order.id] = order
    return json_outcome(201, shown(order, context), _place(order, context))


def order(ledger: Ledger, signed: SignedRequest, context: RequestContext, rest: tuple[str, ...]) -> AcmeOutcome:
    """Show an order, or finish it with a certificate request."""
    order = own_order(ledger, signed, rest[0])
    if rest[1:] == ("finalize",):
        return _finalize(ledger, order, signed)
    if rest[1:]:
        raise refusal("malformed", "There is nothing here.", status=404)
    return json_outcome(200, shown(order, context), _place(order, context))


def certificate(ledger: Ledger, signed: SignedRequest, _: RequestContext, rest: tuple[str, ...]) -> AcmeOutcome:
    """Hand out the certificate of an order."""
    order = own_order(ledger, signed, rest[0])
    if order.certificate is None or rest[1:]:
        raise refusal("malformed", "There is no certificate here.", status=404)
    return AcmeOutcome(AcmeResponse(200, order.certificate.chain_pem.encode("ascii"), messages.PEM_CHAIN))


def own_order(ledger: Ledger, signed: SignedRequest, wanted: str) -> AcmeOrder:
    """Return the order of that id, if it is the account's. Raises AcmeProblem."""
    order = ledger.orders.get(wanted)
    # The same response for another account's order: ids tell nothing about other accounts.
    if order is None or order.account != signed.account:
        raise refusal("malformed", "This account has no such order; it may have been too old.", status=404)
    return order


def _finalize(ledger: Ledger, order: AcmeOrder, signed: SignedRequest) -> AcmeOutcome:
    # RFC 8555 7.4: orderNotReady, with 403.
    if order.status != "ready":
        raise refusal("orderNotReady", f"The order is {order.status}.")
    request = from_text(signed.read(_Finalize).csr, "csr")
    return AcmeOutcome(None, Issue(order.id, request, order.names, key_info(ledger.accounts[order.account].key)))


def issued(ledger: Ledger, work: Issue, certificate: AcmeCertificate, context: RequestContext) -> AcmeResponse:
    """Take in the certificate of an order, and show the order."""
    order = replace(ledger.orders[work.order], status="valid", certificate=certificate)
    ledger.orders[order.id] = order
    return json_response(200, shown(order, context), _place(order, context))


def _names(identifiers: tuple[_Identifier, ...], zones: tuple[Hostname, ...]) -> tuple[str, ...]:
    if not 1 <= len(identifiers) <= MOST_NAMES:
        raise refusal("malformed", f"An order is for 1 to {MOST_NAMES} names.")
    names: list[str] = []
    refused: list[tuple[str, str]] = []
    for one in identifiers:
        if one.type != "dns":
            raise refusal("unsupportedIdentifier", "Only names (type dns) are certified here.")
        try:
            names.append(_name(one.value, zones))
        except InvalidName as error:
            # No name has more characters; what came may be of any length.
            refused.append((one.value[:253], str(error)))
    if refused:
        # All of them at once (RFC 8555 6.7.1), so that a client can order again without them.
        raise refusal("rejectedIdentifier", refused[0][1], names=tuple(refused))
    return tuple(dict.fromkeys(names))


def _name(text: str, zones: tuple[Hostname, ...]) -> str:
    if is_wildcard(text):
        raise InvalidName("Wildcards need dns-01, which is not offered here: order each name by itself.")
    name = parse_hostname(text)
    if zone_of(name, zones) is None:
        raise InvalidName(f"{name} lies in none of this CA's zones ({', '.join(zones)}).")
    return name


def _check_rate(ledger: Ledger, account: str, context: RequestContext) -> None:
    recent = sorted(
        one.created for one in ledger.orders.values() if one.account == account and context.now - one.created < _HOUR
    )
    if len(recent) >= ORDERS_PER_HOUR:
        wait = recent[-ORDERS_PER_HOUR] + _HOUR - context.now
        raise refusal(
            "rateLimited",
            f"This account made {ORDERS_PER_HOUR} orders within the hour.",
            retry_after_s=int(wait.total_seconds()) + 1,
        )


def shown(order: AcmeOrder, context: RequestContext) -> dict[str, Any]:
    """Return an order as it is sent."""
    place = f"{context.base}{messages.ORDER}{order.id}"
    content: dict[str, Any] = {
        "status": order.status,
        "expires": stamp(order.expires if order.certificate is None else order.certificate.not_after),
        "identifiers": [{"type": "dns", "value": name} for name in order.names],
        "authorizations": [
            f"{context.base}{messages.AUTHORIZATION}{order.id}/{index}" for index in range(len(order.authorizations))
        ],
        "finalize": f"{place}/finalize",
    }
    if order.error is not None:
        content["error"] = document(order.error)
    if order.replaces is not None:
        content["replaces"] = order.replaces
    if order.certificate is not None:
        content["certificate"] = f"{context.base}{messages.CERTIFICATE}{order.id}"
    return content


def _place(order: AcmeOrder, context: RequestContext) -> tuple[str, str]:
    return "Location", f"{context.base}{messages.ORDER}{order.id}"
