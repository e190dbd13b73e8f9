"""When a certificate should be renewed (RFC 9773)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from devtls.acme.messages import AcmeRequest, Renewal
from devtls.acme.renewal import at_once, window
from tests.acme.client import HOST, NOW, World, content, header, path_of, problem, registered

# The example of RFC 9773 4.1: the serial number begins with a zero octet, which is part of it.
NAMED = "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"
WORK = Renewal(bytes.fromhex("69885b6b87464041e1b37b847ba0ae2cde01c8d4"), 0x87654321)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_certificate_is_named_by_its_issuers_key_and_its_serial(method: str) -> None:
    outcome = World().send(AcmeRequest(method, f"/renewal-info/{NAMED}", HOST))
    assert (outcome.response, outcome.work) == (None, WORK)


@pytest.mark.parametrize("named", ["x", "x.y.z", ".AIdlQyE", "aYhb.", "a+b.AIdl", "aYhb.AIdl=", "aYhba.AIdl"])
def test_what_names_none_is_refused(named: str) -> None:
    response = World().get(f"/renewal-info/{named}")
    assert problem(response) == (400, "malformed")


@pytest.mark.parametrize(("method", "path", "status"), [
    ("POST", f"/renewal-info/{NAMED}", 405), ("GET", "/renewal-info", 404), ("GET", f"/renewal-info/{NAMED}/x", 404),
])  # fmt: skip
def test_nothing_else_is_there(method: str, path: str, status: int) -> None:
    assert World().get(path, method).status == status


def test_the_window_lies_after_two_thirds_of_the_life() -> None:
    start, end = window(NOW, NOW + timedelta(days=90))
    assert (start - NOW, end - NOW) == (timedelta(days=60), timedelta(days=63))


def test_what_counts_no_more_is_renewed_at_once() -> None:
    start, end = at_once(NOW)
    assert start < end < NOW


def test_the_window_is_told_with_the_time_to_ask_again() -> None:
    response = World().server.advised(window(NOW, NOW + timedelta(days=90)))
    assert content(response) == {"suggestedWindow": {"start": "2026-04-30T12:00:00Z", "end": "2026-05-03T12:00:00Z"}}
    assert (response.status, header(response, "Retry-After")) == (200, "3600")


def test_an_unknown_certificate_is_not_found() -> None:
    response = World().server.advised(None)
    assert problem(response) == (404, "malformed")


def test_an_order_says_what_it_replaces() -> None:
    client, names = registered(), [{"type": "dns", "value": "web.test"}]
    order = client.ask("/new-order", {"identifiers": names, "replaces": NAMED})
    assert content(order)["replaces"] == NAMED
    assert content(client.ask(path_of(header(order, "Location"))))["replaces"] == NAMED
    assert "replaces" not in content(client.ask("/new-order", {"identifiers": names}))
    refused = client.ask("/new-order", {"identifiers": names, "replaces": "nothing"})
    assert problem(refused) == (400, "malformed")
