"""ACME accounts: creation, update, deactivation, key change (RFC 8555 7.3).

Owns the rules for accounts. Refuses contacts that are no mail addresses, new accounts without the external binding that
was asked for, too many new accounts, and a key that another account has.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

import msgspec
import msgspec.json
from msgspec.structs import replace

from devtls.acme import messages
from devtls.acme.messages import AcmeOutcome, RequestContext, SignedRequest, json_outcome
from devtls.acme.model import AcmeAccount, Ledger
from devtls.acme.problems import Problem, refusal
from devtls.acme.signed import open_envelope, public_jwk, thumbprint, verify, verify_mac

NEW_ACCOUNTS_PER_HOUR = 100
MOST_ACCOUNTS = 1000
_MOST_CONTACTS = 10
_LONGEST_CONTACT = 320
_HOUR = timedelta(hours=1)


class _NewAccount(msgspec.Struct, rename="camel"):
    contact: tuple[str, ...] = ()
    only_return_existing: bool = False
    external_account_binding: dict[str, Any] | None = None


class _AccountChange(msgspec.Struct):
    contact: tuple[str, ...] | None = None
    status: Literal["deactivated"] | None = None


class _KeyChange(msgspec.Struct, rename="camel"):
    account: str
    old_key: dict[str, Any]


def new_account(ledger: Ledger, signed: SignedRequest, context: RequestContext) -> AcmeOutcome:
    """Make an account, or find the one that the key has."""
    wanted, mark = signed.read(_NewAccount), thumbprint(signed.key)
    account = ledger.account_with(mark)
    # RFC 8555 7.3.1: a key that has an account gets it, with 200 instead of 201.
    if account is not None:
        if account.status != "valid":
            raise refusal("unauthorized", "The account of this key was deactivated.")
        return _shown(account, context, 200)
    if wanted.only_return_existing:
        raise refusal("accountDoesNotExist", "No account has this key.")
    _check_contacts(wanted.contact)
    _check_room(ledger, context)
    account = AcmeAccount(
        id=context.tokens.token(),
        key=signed.key,
        thumbprint=mark,
        created=context.now,
        contact=wanted.contact,
        binding=_binding(wanted.external_account_binding, signed, context),
    )
    ledger.accounts[account.id] = account
    return _shown(account, context, 201)


def account(ledger: Ledger, signed: SignedRequest, context: RequestContext, rest: tuple[str, ...]) -> AcmeOutcome:
    """Show an account or its orders, change its contacts, or end it."""
    account = ledger.accounts[signed.account]
    if rest[0] != account.id:
        raise refusal("unauthorized", "This account is another's.")
    if rest[1:] == ("orders",):
        # RFC 8555 7.1.2.1: orders that are invalid should not be listed.
        urls = [
            f"{context.base}{messages.ORDER}{one.id}" for one in ledger.orders_of(account) if one.status != "invalid"
        ]
        return json_outcome(200, {"orders": urls})
    if rest[1:]:
        raise refusal("malformed", "There is nothing here.", status=404)
    if not signed.is_get:
        account = _changed(account, signed.read(_AccountChange))
        ledger.accounts[account.id] = account
        if account.status == "deactivated":
            _give_up_orders(ledger, account)
    return _shown(account, context, 200)


def _changed(account: AcmeAccount, change: _AccountChange) -> AcmeAccount:
    if change.contact is not None:
        _check_contacts(change.contact)
        account = replace(account, contact=change.contact)
    return account if change.status is None else replace(account, status=change.status)


def _give_up_orders(ledger: Ledger, account: AcmeAccount) -> None:
    """RFC 8555 7.3.6: what an account that ends has begun, ends with it."""
    for order in ledger.orders_of(account):
        if order.status in ("pending", "ready"):
            problem = Problem("unauthorized", "The account was deactivated.")
            ledger.orders[order.id] = replace(order, status="invalid", error=problem)


def change_key(ledger: Ledger, signed: SignedRequest, context: RequestContext) -> AcmeOutcome:
    """Give an account another key: the old one signs a request of the new one (RFC 8555 7.3.5)."""
    account, inner = ledger.accounts[signed.account], open_envelope(signed.envelope.payload)
    if inner.jwk is None or inner.nonce is not None or inner.url != signed.envelope.url:
        raise refusal("malformed", "The inner request needs the new key as jwk, the same url, and no nonce.")
    key = public_jwk(inner.jwk)
    # First of all: only the holder of the key is told below which account has it.
    verify(inner, key)
    wanted = SignedRequest(inner, key).read(_KeyChange)
    if wanted.account != signed.envelope.kid or public_jwk(wanted.old_key) != account.key:
        raise refusal("malformed", "account and oldKey are not those of the account that signed.")
    mark = thumbprint(key)
    holder = ledger.account_with(mark)
    if holder is not None:
        # RFC 8555 7.3.5: 409, and Location names the other account.
        place = f"{context.base}{messages.ACCOUNT}{holder.id}"
        raise refusal("malformed", "Another account has this key.", status=409, location=place)
    account = replace(account, key=key, thumbprint=mark)
    ledger.accounts[account.id] = account
    return _shown(account, context, 200)


def _binding(written: dict[str, Any] | None, signed: SignedRequest, context: RequestContext) -> str:
    """Return the external account that is bound, "" where none is asked for (RFC 8555 7.3.4)."""
    if not context.policy.bindings:
        return ""
    if written is None:
        raise refusal("externalAccountRequired", "[acme] eab in devtls.toml says that accounts need a binding.")
    inner = open_envelope(msgspec.json.encode(written))
    secret = context.policy.bindings.get(inner.kid or "")
    if secret is None:
        raise refusal("unauthorized", "[acme] eab in devtls.toml has no key of that name.")
    verify_mac(inner, secret)
    try:
        key = msgspec.json.decode(inner.payload, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise refusal("malformed", "The binding holds no key.") from error
    # RFC 8555 7.3.4: the same url, no nonce, and the account's key as content.
    if inner.nonce is not None or inner.url != signed.envelope.url or public_jwk(key) != signed.key:
        raise refusal("malformed", "The binding is for another request or another key.")
    return str(inner.kid)


def _check_contacts(contacts: tuple[str, ...]) -> None:
    if len(contacts) > _MOST_CONTACTS or any(len(one) > _LONGEST_CONTACT for one in contacts):
        raise refusal("invalidContact", f"At most {_MOST_CONTACTS} contacts of {_LONGEST_CONTACT} characters.")
    for one in contacts:
        if not one.startswith("mailto:"):
            raise refusal("unsupportedContact", "Contacts are mail addresses (mailto:); nothing is ever sent there.")
        # RFC 8555 7.3: neither header fields nor a second address.
        if "," in one or "?" in one or one.count("@") != 1:
            raise refusal("invalidContact", "A contact is one mail address and nothing else.")


def _check_room(ledger: Ledger, context: RequestContext) -> None:
    recent = sorted(one.created for one in ledger.accounts.values() if context.now - one.created < _HOUR)
    if len(recent) >= NEW_ACCOUNTS_PER_HOUR:
        wait = recent[-NEW_ACCOUNTS_PER_HOUR] + _HOUR - context.now
        raise refusal(
            "rateLimited",
            f"{NEW_ACCOUNTS_PER_HOUR} accounts were made within the hour.",
            retry_after_s=int(wait.total_seconds()) + 1,
        )
    if len(ledger.accounts) >= MOST_ACCOUNTS:
        _forget_idle(ledger)


def _forget_idle(ledger: Ledger) -> None:
    """Make room: the oldest account that has no orders goes; its client makes another one."""
    busy = {order.account for order in ledger.orders.values()}
    # Dictionaries keep the order of insertion, so the first one is the oldest.
    idle = next((one.id for one in ledger.accounts.values() if one.id not in busy), None)
    if idle is None:
        raise refusal("rateLimited", f"There are {MOST_ACCOUNTS} accounts, and all are in use.", retry_after_s=3600)
    del ledger.accounts[idle]


def _shown(account: AcmeAccount, context: RequestContext, status: int) -> AcmeOutcome:
    place = f"{context.base}{messages.ACCOUNT}{account.id}"
    content = {"status": account.status, "contact": account.contact, "orders": f"{place}/orders"}
    return json_outcome(status, content, ("Location", place))
