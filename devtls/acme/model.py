"""Accounts, orders, authorizations and challenges (RFC 8555 7.1), and their file format.

Owns the states, the lifetimes, and the file format. Refuses a file of a later version, and
one that is damaged.
Strategy: values are frozen and replaced in the ledger, so that the holder of the old ledger can see what changed.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

import msgspec
import msgspec.json
from msgspec.structs import replace

from devtls.acme.problems import Problem
from devtls.acme.signed import Jwk
from devtls.errors import StateError

FORMAT = 1

ORDER_LIFE = timedelta(hours=1)
"""How long a client may take from its order to the certificate."""
REMEMBERED = timedelta(hours=2)
"""How long an order without a certificate is kept after it was made: longer than what is counted for rate limits."""
STUCK_AFTER = timedelta(minutes=2)
"""A challenge that is looked at for so long was forgotten by a process that ended."""

ChallengeKind = Literal["http-01", "tls-alpn-01"]
ChallengeStatus = Literal["pending", "processing", "valid", "invalid"]
AuthorizationStatus = Literal["pending", "valid", "invalid", "deactivated"]
OrderStatus = Literal["pending", "ready", "valid", "invalid"]
AccountStatus = Literal["valid", "deactivated"]


class AcmeAccount(msgspec.Struct, frozen=True, kw_only=True):
    """An account: its key and contacts. `binding` is the external account that it belongs to, "" for none."""

    id: str
    key: Jwk
    thumbprint: str
    created: datetime
    contact: tuple[str, ...] = ()
    status: AccountStatus = "valid"
    binding: str = ""


class Challenge(msgspec.Struct, frozen=True):
    """One way to show that a name is the client's."""

    kind: ChallengeKind
    token: str
    status: ChallengeStatus = "pending"
    since: datetime | None = None
    """When it got its status."""
    error: Problem | None = None


class Authorization(msgspec.Struct, frozen=True):
    """The permission of an account to have certificates for a name; it belongs to one order."""

    name: str
    challenges: tuple[Challenge, ...]
    status: AuthorizationStatus = "pending"


class AcmeCertificate(msgspec.Struct, frozen=True):
    """The certificate of an order; `serial` is hex."""

    chain_pem: str
    serial: str
    not_after: datetime


class AcmeOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A request of an account for one certificate."""

    id: str
    account: str
    names: tuple[str, ...]
    created: datetime
    authorizations: tuple[Authorization, ...]
    status: OrderStatus = "pending"
    certificate: AcmeCertificate | None = None
    error: Problem | None = None
    replaces: str | None = None
    """The certificate that this is to follow, as the client named it (RFC 9773 5)."""

    @property
    def expires(self) -> datetime:
        """When it is too late for the next step."""
        return self.created + ORDER_LIFE

    @property
    def kept_until(self) -> datetime:
        """The time after which it can be forgotten."""
        shortest = self.created + REMEMBERED
        # As long as the certificate counts, so that its account can fetch and revoke it.
        return shortest if self.certificate is None else max(shortest, self.certificate.not_after)


class Ledger(msgspec.Struct):
    """Everything that outlives a process."""

    format: int = FORMAT
    accounts: dict[str, AcmeAccount] = {}
    orders: dict[str, AcmeOrder] = {}

    def orders_of(self, account: AcmeAccount) -> list[AcmeOrder]:
        """Return an account's orders, the oldest first."""
        return [order for order in self.orders.values() if order.account == account.id]

    def account_with(self, thumbprint: str) -> AcmeAccount | None:
        """Return the account that has a key."""
        return next((one for one in self.accounts.values() if one.thumbprint == thumbprint), None)

    def tidy(self, now: datetime) -> None:
        """Give up what is too old: steps that were never taken, and orders that are past their use."""
        for order in list(self.orders.values()):
            if now >= order.kept_until:
                del self.orders[order.id]
            elif (tidied := _tidied(order, now)) is not order:
                self.orders[order.id] = tidied

    def challenged(self, now: datetime) -> list[tuple[str, str]]:
        """Return name and token of every http-01 challenge that is open now."""
        return [
            (authorization.name, challenge.token)
            for order in self.orders.values()
            if order.status == "pending" and now < order.expires
            for authorization in order.authorizations
            if authorization.status == "pending"
            for challenge in authorization.challenges
            if challenge.kind == "http-01"
        ]


def _tidied(order: AcmeOrder, now: datetime) -> AcmeOrder:
    # RFC 8555 7.1.6: an order that is not finished in time becomes invalid.
    if order.status in ("pending", "ready") and now >= order.expires:
        return replace(order, status="invalid", error=Problem("malformed", "The order expired before it was done."))
    # The check ran in a process that ended: without this its client would poll to the end of the order.
    for index, authorization in enumerate(order.authorizations):
        for challenge in authorization.challenges:
            if challenge.status == "processing" and challenge.since and now >= challenge.since + STUCK_AFTER:
                problem = Problem("serverInternal", "devtls was stopped while it looked: order again.")
                order = settle(order, index, challenge.kind, problem, now)
    return order


def settle(order: AcmeOrder, index: int, kind: ChallengeKind, problem: Problem | None, now: datetime) -> AcmeOrder:
    """Return `order` after a challenge of its authorization number `index` was met, or failed with `problem`."""
    authorization = order.authorizations[index]
    # It comes too late: the other challenge was faster, or the order was given up.
    if order.status != "pending" or authorization.status != "pending":
        return order
    status: Literal["valid", "invalid"] = "valid" if problem is None else "invalid"
    challenges = tuple(
        replace(one, status=status, since=now, error=problem) if one.kind == kind else one
        for one in authorization.challenges
    )
    settled = replace(authorization, challenges=challenges, status=status)
    return advanced(replace(order, authorizations=_exchanged(order.authorizations, index, settled)))


def advanced(order: AcmeOrder) -> AcmeOrder:
    """Return a pending order in the state that its authorizations put it into (RFC 8555 7.1.6)."""
    statuses = {authorization.status for authorization in order.authorizations}
    if statuses & {"invalid", "deactivated"}:
        return replace(order, status="invalid", error=Problem("unauthorized", "Not every name was shown to be yours."))
    return replace(order, status="ready") if statuses == {"valid"} else order


def with_authorization(order: AcmeOrder, index: int, authorization: Authorization) -> AcmeOrder:
    """Return `order` with its authorization number `index` replaced."""
    return replace(order, authorizations=_exchanged(order.authorizations, index, authorization))


def _exchanged(
    authorizations: tuple[Authorization, ...], index: int, authorization: Authorization
) -> tuple[Authorization, ...]:
    return (*authorizations[:index], authorization, *authorizations[index + 1 :])


class _LedgerVersion(msgspec.Struct):
    format: int


def render_ledger(ledger: Ledger) -> bytes:
    """Return the ledger as a text for the disk."""
    return msgspec.json.encode(ledger) + b"\n"


def parse_ledger(content: bytes, path: str) -> Ledger:
    """Return what a text says; errors name `path`. Raises StateError."""
    try:
        # First of all: what a later devtls wrote may have another shape, and is not damaged.
        version = msgspec.json.decode(content, type=_LedgerVersion).format
        if version <= FORMAT:
            return msgspec.json.decode(content, type=Ledger)
    except msgspec.DecodeError as error:
        raise StateError(
            "The accounts of the ACME server are damaged.",
            path=path,
            hint=f"move {path} away; clients make new accounts by themselves or when told to",
        ) from error
    raise StateError(
        f"The accounts of the ACME server were written by a later devtls (format {version}, this one knows {FORMAT}).",
        path=path,
        hint="upgrade devtls",
    )
