"""From an order to its certificate (RFC 8555 7.4, 7.5)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from devtls.acme.messages import Issue, Validate
from devtls.acme.model import AcmeCertificate
from devtls.acme.orders import ORDERS_PER_HOUR
from devtls.acme.problems import Problem
from devtls.acme.signed import key_info
from tests.acme.client import (
    BASE,
    NOW,
    OTHER_KEY,
    POLICY,
    Client,
    World,
    b64,
    content,
    header,
    path_of,
    problem,
    public,
    registered,
)

CERTIFICATE = AcmeCertificate("-----BEGIN CERTIFICATE-----\n…\n".replace("…", "AAAA"), "0a0b", NOW + timedelta(days=90))


def identifiers(*names: str) -> dict[str, Any]:
    return {"identifiers": [{"type": "dns", "value": name} for name in names]}


def challenge_of(client: Client, order: dict[str, Any], index: int = 0) -> dict[str, Any]:
    authorization = content(client.ask(path_of(order["authorizations"][index])))
    found = next(one for one in authorization["challenges"] if one["type"] == "http-01")
    return {**found, "path": path_of(found["url"])}


def prove(client: Client, order: dict[str, Any], trouble: Problem | None = None) -> None:
    """Have every challenge of an order looked at; it is met, or fails with `trouble`."""
    for index in range(len(order["authorizations"])):
        work = client.post(challenge_of(client, order, index)["path"], {}).work
        assert isinstance(work, Validate)
        client.world.server.validated(client.world.ledger, work, trouble, client.world.context())


def finalize(client: Client, order: dict[str, Any]) -> Issue:
    outcome = client.post(path_of(order["finalize"]), {"csr": b64(b"request")})
    assert outcome.response is None and isinstance(outcome.work, Issue), outcome
    return outcome.work


def test_an_order_leads_to_its_certificate() -> None:
    client = registered()
    order = client.order("Web.dev.local", "api.test", "web.dev.local")
    assert order["identifiers"] == [{"type": "dns", "value": name} for name in ("web.dev.local", "api.test")]
    assert (order["status"], order["expires"]) == ("pending", "2026-03-01T13:00:00Z")
    prove(client, order)
    ready = content(client.ask(order["path"]))
    assert ready["status"] == "ready"
    work = finalize(client, order)
    assert (work.request, work.names) == (b"request", ("web.dev.local", "api.test"))
    assert work.account_key == key_info(public(client.key))
    response = client.world.server.issued(client.world.ledger, work, CERTIFICATE, client.world.context())
    assert header(response, "Replay-Nonce") and header(response, "Location") == BASE + order["path"]
    done = content(response)
    assert (done["status"], done["expires"]) == ("valid", "2026-05-30T12:00:00Z")
    chain = client.ask(path_of(done["certificate"]))
    assert (chain.content_type, chain.body) == ("application/pem-certificate-chain", CERTIFICATE.chain_pem.encode())
    assert content(client.ask(order["path"])) == done


def test_the_states_of_an_order_step_by_step() -> None:
    client = registered()
    order = client.order("web.test")
    assert problem(client.ask(path_of(order["finalize"]), {"csr": ""})) == (403, "orderNotReady")
    assert problem(client.ask("/certificate/" + order["path"].rpartition("/")[2])) == (404, "malformed")
    prove(client, order)
    assert problem(client.ask(path_of(order["finalize"]), {"csr": "?"})) == (400, "malformed")
    assert problem(client.ask(path_of(order["finalize"]), {})) == (400, "malformed")


def test_a_bad_request_for_the_certificate_leaves_the_order_ready() -> None:
    client = registered()
    order = client.order("web.test")
    prove(client, order)
    trouble = Problem("badCSR", "The request is for another name.")
    work = finalize(client, order)
    response = client.world.server.issued(client.world.ledger, work, trouble, client.world.context())
    assert problem(response) == (400, "badCSR")
    assert content(client.ask(order["path"]))["status"] == "ready"


def test_others_orders_are_not_there() -> None:
    client = registered()
    order = client.order("web.test")
    other = registered(client.world, OTHER_KEY)
    for path in (order["path"], order["finalize"], order["authorizations"][0], challenge_of(client, order)["path"]):
        assert problem(other.ask(path_of(path))) == (404, "malformed")
    assert problem(client.ask("/order/nobody")) == (404, "malformed")
    assert problem(client.ask(order["path"] + "/more")) == (404, "malformed")


@pytest.mark.parametrize(
    ("payload", "refused"),
    [
        ({}, (400, "malformed")),
        (identifiers(), (400, "malformed")),
        (identifiers(*(f"n{number}.test" for number in range(101))), (400, "malformed")),
        ({"identifiers": [{"type": "ip", "value": "127.0.0.1"}]}, (400, "unsupportedIdentifier")),
        ({**identifiers("a.test"), "notAfter": "2030-01-01T00:00:00Z"}, (400, "malformed")),
        ({**identifiers("a.test"), "notBefore": "2030-01-01T00:00:00Z"}, (400, "malformed")),
        ({**identifiers("a.test"), "profile": "short"}, (400, "malformed")),
        (identifiers("a.example.com"), (400, "rejectedIdentifier")),
        (identifiers("*.app.test"), (400, "rejectedIdentifier")),
        (identifiers("127.0.0.1"), (400, "rejectedIdentifier")),
        (identifiers("a b.test"), (400, "rejectedIdentifier")),
    ],
)
def test_orders_that_cannot_be_filled_are_refused(payload: Any, refused: tuple[int, str]) -> None:
    client = registered()
    assert problem(client.ask("/new-order", payload)) == refused
    assert not client.world.ledger.orders


def test_each_refused_name_comes_with_its_reason() -> None:
    response = registered().ask("/new-order", identifiers("good.test", "a.example.com", "*.b.test"))
    found = content(response)
    assert "zones (dev.local, test)" in found["detail"]
    assert [one["identifier"]["value"] for one in found["subproblems"]] == ["a.example.com", "*.b.test"]
    assert {one["type"] for one in found["subproblems"]} == {"urn:ietf:params:acme:error:rejectedIdentifier"}
    assert "dns-01" in found["subproblems"][1]["detail"]


def test_orders_are_limited_by_the_hour_and_the_account() -> None:
    client = registered()
    client.order("a.test")
    (order,) = client.world.ledger.orders.values()
    for number in range(ORDERS_PER_HOUR - 1):
        client.world.ledger.orders[str(number)] = msgspec.structs.replace(order, id=str(number))
    client.world.later(minutes=20)
    response = client.ask("/new-order", identifiers("b.test"))
    assert problem(response) == (429, "rateLimited")
    assert header(response, "Retry-After") == str(40 * 60 + 1)
    registered(client.world, OTHER_KEY).order("b.test")
    client.world.later(minutes=40)
    client.order("b.test")


# -- authorizations and challenges ------------------------------------------------------------------------------------


def test_a_challenge_is_looked_at_once_and_shown_as_it_goes() -> None:
    client = registered()
    order = client.order("web.test")
    challenge = challenge_of(client, order)
    assert challenge["status"] == "pending" and len(challenge["token"]) >= 22
    assert client.world.ledger.challenged(client.world.now) == [("web.test", challenge["token"])]
    assert client.post(challenge["path"]).work is None  # POST-as-GET says nothing
    outcome = client.post(challenge["path"], {})
    assert outcome.response is not None and content(outcome.response)["status"] == "processing"
    links = [value for name, value in outcome.response.headers if name == "Link"]
    assert links == [f'<{order["authorizations"][0]}>;rel="up"', f'<{BASE}/directory>;rel="index"']
    (account,) = client.world.ledger.accounts.values()
    token = challenge["token"]
    order_id = order["path"].rpartition("/")[2]
    expected = Validate(order_id, 0, "http-01", "web.test", token, f"{token}.{account.thumbprint}")
    assert outcome.work == expected
    assert client.post(challenge["path"], {}).work is None  # it is being looked at
    client.world.later(seconds=5)
    client.world.server.validated(client.world.ledger, expected, None, client.world.context())
    shown = content(client.ask(challenge["path"]))
    assert (shown["status"], shown["validated"]) == ("valid", "2026-03-01T12:00:05Z")
    assert content(client.ask(path_of(order["authorizations"][0])))["status"] == "valid"
    assert client.world.ledger.challenged(client.world.now) == []
    # What comes late changes nothing any more.
    late = Problem("connection", "refused")
    client.world.server.validated(client.world.ledger, expected, late, client.world.context())
    assert content(client.ask(order["path"]))["status"] == "ready"


def test_a_proof_that_was_not_there_ends_the_order() -> None:
    client = registered()
    order = client.order("web.test", "api.test")
    outcome = client.post(challenge_of(client, order)["path"], {})
    assert isinstance(outcome.work, Validate)
    trouble = Problem("connection", "127.0.0.1:80: connection refused.")
    client.world.server.validated(client.world.ledger, outcome.work, trouble, client.world.context())
    shown = content(client.ask(order["path"]))
    assert shown["status"] == "invalid" and shown["error"]["type"].endswith(":unauthorized")
    first, second = (content(client.ask(path_of(url))) for url in order["authorizations"])
    assert (first["status"], second["status"]) == ("invalid", "invalid")
    assert first["challenges"][0]["error"]["detail"] == "127.0.0.1:80: connection refused."
    assert client.post(challenge_of(client, order, 1)["path"], {}).work is None


def test_two_names_need_two_proofs() -> None:
    client = registered()
    order = client.order("web.test", "api.test")
    for index, status in enumerate(("pending", "ready")):
        work = client.post(challenge_of(client, order, index)["path"], {}).work
        assert isinstance(work, Validate)
        client.world.server.validated(client.world.ledger, work, None, client.world.context())
        assert content(client.ask(order["path"]))["status"] == status


def test_an_authorization_can_be_given_up() -> None:
    client = registered()
    order = client.order("web.test")
    prove(client, order)
    path = path_of(order["authorizations"][0])
    assert problem(client.ask(path, {"status": "valid"})) == (400, "malformed")
    assert content(client.ask(path, {"status": "deactivated"}))["status"] == "deactivated"
    assert content(client.ask(order["path"]))["status"] == "invalid"
    assert content(client.ask(path, {"status": "deactivated"}))["status"] == "deactivated"


@pytest.mark.parametrize("rest", ["", "/7", "/x", "/٣", "/0/http-01/more", "/0/dns-01", "/0"])
def test_what_is_not_there_is_404(rest: str) -> None:
    client = registered()
    order = client.order("web.test")
    place = order["path"].rpartition("/")[2] + rest
    assert problem(client.ask(f"/challenge/{place}", {})) == (404, "malformed")
    if rest != "/0":
        assert problem(client.ask(f"/authorization/{place}")) == (404, "malformed")


def test_tls_alpn_is_offered_where_there_is_a_port_for_it() -> None:
    policy = msgspec.structs.replace(POLICY, tls_names=("web.test", "*.app.test"))
    client = registered(World(policy))
    kinds = []
    for name in ("web.test", "a.app.test", "app.test"):
        authorization = content(client.ask(path_of(client.order(name)["authorizations"][0])))
        kinds.append([one["type"] for one in authorization["challenges"]])
    assert kinds == [["http-01", "tls-alpn-01"], ["http-01", "tls-alpn-01"], ["http-01"]]
    # One proof is enough; the other kind stays as it was.
    order = client.order("web.test")
    prove(client, order)
    shown = content(client.ask(path_of(order["authorizations"][0])))
    assert [one["status"] for one in shown["challenges"]] == ["valid", "pending"]


# -- time -------------------------------------------------------------------------------------------------------------


def test_an_order_that_is_not_finished_expires() -> None:
    client = registered()
    order = client.order("web.test")
    client.world.later(minutes=59)
    assert content(client.ask(order["path"]))["status"] == "pending"
    client.world.later(minutes=1)
    assert client.world.ledger.challenged(client.world.now) == []
    shown = content(client.ask(order["path"]))
    assert shown["status"] == "invalid" and "expired" in shown["error"]["detail"]
    client.world.later(hours=1)
    assert problem(client.ask(order["path"])) == (404, "malformed")


def test_a_certificate_can_be_fetched_until_it_expires() -> None:
    client = registered()
    order = client.order("web.test")
    prove(client, order)
    client.world.server.issued(client.world.ledger, finalize(client, order), CERTIFICATE, client.world.context())
    client.world.later(days=89)
    assert content(client.ask(order["path"]))["status"] == "valid"
    client.world.later(days=1)
    assert problem(client.ask(order["path"])) == (404, "malformed")


def test_a_proof_that_nobody_looks_for_any_more_fails() -> None:
    client = registered()
    order = client.order("web.test", "api.test")
    work = client.post(challenge_of(client, order)["path"], {}).work
    assert isinstance(work, Validate)
    client.world.later(seconds=119)
    assert content(client.ask(order["path"]))["status"] == "pending"
    client.world.later(seconds=1)
    assert content(client.ask(order["path"]))["status"] == "invalid"
    shown = content(client.ask(path_of(order["authorizations"][0])))
    assert shown["challenges"][0]["error"]["type"].endswith(":serverInternal")


def test_a_proof_for_an_order_that_is_gone_is_nobodys() -> None:
    client = registered()
    work = client.post(challenge_of(client, client.order("web.test"))["path"], {}).work
    assert isinstance(work, Validate)
    client.world.ledger.orders.clear()
    client.world.server.validated(client.world.ledger, work, None, client.world.context())
    assert not client.world.ledger.orders
