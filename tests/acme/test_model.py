"""The ledger as a text: it comes back as it was, and nothing else is read."""

from __future__ import annotations

import pytest

from devtls.acme.model import Ledger, parse_ledger, render_ledger
from devtls.errors import StateError
from tests.acme.client import registered


def test_a_ledger_comes_back_as_it_was() -> None:
    client = registered()
    client.order("web.test", "api.test")
    ledger = client.world.ledger
    assert parse_ledger(render_ledger(ledger), "acme.json") == ledger
    assert parse_ledger(render_ledger(Ledger()), "acme.json") == Ledger()


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"format":"1"}', b'{"format":1,"accounts":[]}'])
def test_a_damaged_ledger_is_refused(content: bytes) -> None:
    with pytest.raises(StateError, match="damaged") as caught:
        parse_ledger(content, "/state/acme.json")
    assert caught.value.path == "/state/acme.json" and "move /state/acme.json away" in caught.value.hint


def test_a_later_ledger_is_refused() -> None:
    with pytest.raises(StateError, match=r"later devtls \(format 2") as caught:
        parse_ledger(b'{"format":2,"accounts":{"a":[]}}', "/state/acme.json")
    assert caught.value.hint == "upgrade devtls"
