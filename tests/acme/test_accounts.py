"""Accounts: new ones, changes, the end, another key, external accounts (RFC 8555 7.3)."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from josepy.jwa import HS256, JWASignature

from devtls.acme.accounts import MOST_ACCOUNTS, NEW_ACCOUNTS_PER_HOUR
from devtls.acme.model import AcmeAccount
from tests.acme.client import (
    BASE,
    EC_KEY,
    NOW,
    OTHER_KEY,
    POLICY,
    Client,
    World,
    content,
    flattened,
    header,
    path_of,
    problem,
    public,
    registered,
)

SECRET = bytes(range(32))


def test_a_key_has_one_account() -> None:
    client = Client(World())
    first = client.ask("/new-account", {"contact": ["mailto:me@example.com"], "termsOfServiceAgreed": True})
    place = header(first, "Location")
    assert first.status == 201 and place.startswith(f"{BASE}/account/")
    assert content(first) == {
        "status": "valid",
        "contact": ["mailto:me@example.com"],
        "orders": f"{place}/orders",
    }
    again = client.ask("/new-account", {"onlyReturnExisting": True})
    assert (again.status, header(again, "Location"), again.body) == (200, place, first.body)


def test_whoever_only_looks_gets_no_account() -> None:
    client = Client(World())
    assert problem(client.ask("/new-account", {"onlyReturnExisting": True})) == (400, "accountDoesNotExist")
    assert not client.world.ledger.accounts


@pytest.mark.parametrize("payload", [None, [], {"contact": "mailto:me@example.com"}, {"onlyReturnExisting": 1}])
def test_a_payload_of_another_shape_is_refused(payload: Any) -> None:
    assert problem(Client(World()).ask("/new-account", payload)) == (400, "malformed")


@pytest.mark.parametrize(
    ("contact", "kind"),
    [
        (["tel:+15551234"], "unsupportedContact"),
        (["mailto:a@example.com,b@example.com"], "invalidContact"),
        (["mailto:a@example.com?subject=x"], "invalidContact"),
        (["mailto:nobody"], "invalidContact"),
        (["mailto:a@example.com"] * 11, "invalidContact"),
        ([f"mailto:{'a' * 320}@example.com"], "invalidContact"),
    ],
)
def test_contacts_are_mail_addresses(contact: list[str], kind: str) -> None:
    client = registered()
    assert problem(Client(client.world, OTHER_KEY).ask("/new-account", {"contact": contact})) == (400, kind)
    assert problem(client.ask(path_of(client.account), {"contact": contact})) == (400, kind)


def test_an_account_changes_its_contacts_and_shows_itself() -> None:
    client = registered()
    path = path_of(client.account)
    changed = client.ask(path, {"contact": ["mailto:new@example.com"]})
    assert content(changed)["contact"] == ["mailto:new@example.com"]
    assert client.ask(path).body == changed.body == client.ask(path, {}).body


def test_an_account_sees_only_itself() -> None:
    client = registered()
    other = registered(client.world, OTHER_KEY)
    assert problem(other.ask(path_of(client.account))) == (403, "unauthorized")
    assert problem(client.ask(path_of(client.account) + "/secrets")) == (404, "malformed")


def test_an_account_lists_its_orders_but_for_those_that_failed() -> None:
    client = registered()
    one, two = client.order("a.test"), client.order("b.test")
    registered(client.world, OTHER_KEY).order("c.test")
    orders = path_of(client.account) + "/orders"
    assert content(client.ask(orders)) == {"orders": [BASE + one["path"], BASE + two["path"]]}
    client.ask(path_of(one["authorizations"][0]), {"status": "deactivated"})
    assert content(client.ask(orders)) == {"orders": [BASE + two["path"]]}


def test_an_account_that_ends_takes_what_it_began_along() -> None:
    client = registered()
    order = client.order("a.test")
    (kept,) = client.world.ledger.orders.values()
    client.world.ledger.orders["done"] = msgspec.structs.replace(kept, id="done", status="valid")
    ended = client.ask(path_of(client.account), {"status": "deactivated"})
    assert content(ended)["status"] == "deactivated"
    assert [one.status for one in client.world.ledger.orders.values()] == ["invalid", "valid"]
    assert problem(client.ask(order["path"])) == (403, "unauthorized")
    assert problem(Client(client.world).ask("/new-account", {})) == (403, "unauthorized")


def test_new_accounts_are_limited_by_the_hour() -> None:
    client = Client(World())
    for number in range(NEW_ACCOUNTS_PER_HOUR):
        made = NOW - timedelta(minutes=30, seconds=-number / 10)
        add_account(client.world, str(number), made)
    response = client.ask("/new-account", {})
    assert problem(response) == (429, "rateLimited")
    assert header(response, "Retry-After") == str(30 * 60 + 1)
    client.world.later(seconds=30 * 60 + 1)
    assert client.ask("/new-account", {}).status == 201


def test_the_oldest_account_without_orders_makes_room() -> None:
    client = registered()
    client.order("a.test")
    for number in range(MOST_ACCOUNTS - 1):
        add_account(client.world, str(number), NOW - timedelta(days=1))
    assert Client(client.world, OTHER_KEY).ask("/new-account", {}).status == 201
    assert len(client.world.ledger.accounts) == MOST_ACCOUNTS
    assert "0" not in client.world.ledger.accounts and "1" in client.world.ledger.accounts
    assert path_of(client.account).rpartition("/")[2] in client.world.ledger.accounts


def test_when_all_are_in_use_there_is_no_room() -> None:
    client = registered()
    client.order("a.test")
    (order,) = client.world.ledger.orders.values()
    for number in range(MOST_ACCOUNTS - 1):
        add_account(client.world, str(number), NOW - timedelta(days=1))
        client.world.ledger.orders[str(number)] = msgspec.structs.replace(order, id=str(number), account=str(number))
    assert problem(Client(client.world, OTHER_KEY).ask("/new-account", {})) == (429, "rateLimited")


def add_account(world: World, name: str, created: Any) -> None:
    world.ledger.accounts[name] = AcmeAccount(id=name, key={}, thumbprint=name, created=created)


# -- another key ------------------------------------------------------------------------------------------------------


def key_change(client: Client, **changes: Any) -> Any:
    """Ask for OTHER_KEY; `changes` replace what the inner request would have."""
    inner = {
        "header": {"alg": "ES256", "jwk": public(OTHER_KEY), "url": f"{BASE}/key-change"},
        "payload": {"account": client.account, "oldKey": public(EC_KEY)},
        "key": OTHER_KEY,
        **changes,
    }
    return client.ask(
        "/key-change", flattened(inner["header"], json.dumps(inner["payload"]).encode(), inner["key"].key)
    )


def test_an_account_takes_another_key() -> None:
    client = registered()
    assert key_change(client).status == 200
    assert problem(client.ask(path_of(client.account))) == (400, "malformed")  # the old key signs no more
    client.key = OTHER_KEY
    assert client.ask(path_of(client.account)).status == 200
    assert header(Client(client.world, OTHER_KEY).ask("/new-account", {}), "Location") == client.account


@pytest.mark.parametrize(
    "changes",
    [
        {"header": {"alg": "ES256", "kid": "x", "url": f"{BASE}/key-change"}},
        {"header": {"alg": "ES256", "jwk": public(OTHER_KEY), "url": f"{BASE}/new-order"}},
        {"header": {"alg": "ES256", "jwk": public(OTHER_KEY), "url": f"{BASE}/key-change", "nonce": "AAAA"}},
        {"key": EC_KEY},  # the new key has to sign as well
        {"payload": {"account": f"{BASE}/account/other", "oldKey": public(EC_KEY)}},
        {"payload": {"account": "", "oldKey": public(OTHER_KEY)}},
        {"payload": {}},
    ],
)
def test_a_change_of_keys_that_does_not_add_up_is_refused(changes: dict[str, Any]) -> None:
    client = registered()
    if changes.get("payload", {}).get("account") == "":
        changes["payload"]["account"] = client.account
    assert problem(key_change(client, **changes)) == (400, "malformed")
    assert client.ask(path_of(client.account)).status == 200


def test_a_key_of_another_account_cannot_be_taken() -> None:
    client = registered()
    other = registered(client.world, OTHER_KEY)
    response = key_change(client)
    assert problem(response) == (409, "malformed")
    assert header(response, "Location") == other.account


# -- external accounts ------------------------------------------------------------------------------------------------


def binding(secret: bytes = SECRET, payload: Any = None, algorithm: JWASignature = HS256, **changes: Any) -> Any:
    head = {"alg": algorithm.name, "kid": "team", "url": f"{BASE}/new-account", **changes}
    kept = {name: value for name, value in head.items() if value is not None}
    inner = payload if isinstance(payload, bytes) else json.dumps(payload or public(EC_KEY)).encode()
    return flattened(kept, inner, secret, algorithm)


def bound() -> Client:
    return Client(World(msgspec.structs.replace(POLICY, bindings={"team": SECRET})))


def test_where_bindings_are_asked_for_each_account_has_one() -> None:
    client = bound()
    assert content(client.world.get("/directory"))["meta"] == {"externalAccountRequired": True}
    assert problem(client.ask("/new-account", {})) == (403, "externalAccountRequired")
    assert client.register(externalAccountBinding=binding()).status == 201
    (account,) = client.world.ledger.accounts.values()
    assert account.binding == "team"


@pytest.mark.parametrize(
    ("written", "refused"),
    [
        (binding(bytes(32)), (403, "unauthorized")),
        (binding(kid="others"), (403, "unauthorized")),
        (binding(kid=None, jwk=public(EC_KEY)), (403, "unauthorized")),
        (binding(url=f"{BASE}/new-order"), (400, "malformed")),
        (binding(nonce="AAAA"), (400, "malformed")),
        (binding(payload=public(OTHER_KEY)), (400, "malformed")),
        (binding(payload=b"no json"), (400, "malformed")),
        ({**binding(), "header": {}}, (400, "malformed")),
        (
            flattened({"alg": "ES256", "kid": "team", "url": f"{BASE}/new-account"}, b"{}", EC_KEY.key),
            (400, "badSignatureAlgorithm"),
        ),
    ],
)
def test_a_binding_that_does_not_bind_is_refused(written: Any, refused: tuple[int, str]) -> None:
    client = bound()
    assert problem(client.ask("/new-account", {"externalAccountBinding": written})) == refused
    assert not client.world.ledger.accounts


def test_where_none_is_asked_for_a_binding_means_nothing() -> None:
    assert Client(World()).register(externalAccountBinding=binding(bytes(32))).status == 201
