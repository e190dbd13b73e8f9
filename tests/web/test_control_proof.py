"""The proof of a token: what it binds, and that it counts once."""

from __future__ import annotations

import pytest

from devtls.web.control_proof import ControlRequest, Nonces, new_nonce, proof_of_client, proof_of_server

TOKEN = bytes(range(32))
ASKED = ControlRequest("POST", "/v1/stop", b"{}")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_every_part_counts() -> None:
    proofs = {
        proof_of_client(TOKEN, 1, "a", ASKED),
        proof_of_client(TOKEN, 2, "a", ASKED),
        proof_of_client(TOKEN, 1, "b", ASKED),
        proof_of_client(TOKEN[::-1], 1, "a", ASKED),
        proof_of_client(TOKEN, 1, "a", ASKED._replace(method="GET")),
        proof_of_client(TOKEN, 1, "a", ASKED._replace(path="/v1/about")),
        proof_of_client(TOKEN, 1, "a", ASKED._replace(body=b"{ }")),
        proof_of_server(TOKEN, 1, "a", "b"),
        proof_of_server(TOKEN, 1, "b", "a"),
        proof_of_server(TOKEN, 2, "a", "b"),
    }
    assert len(proofs) == 10
    assert {len(proof) for proof in proofs} == {64}
    assert proof_of_client(TOKEN, 1, "a", ASKED) in proofs


def test_a_nonce_counts_once_and_for_a_while() -> None:
    clock = Clock()
    nonces = Nonces(clock)
    first, second = nonces.give(), nonces.give()
    assert first != second
    assert nonces.take(first)
    assert not nonces.take(first)
    assert not nonces.take(new_nonce())
    clock.now += 11
    assert not nonces.take(second)


@pytest.mark.parametrize(("between", "counts"), [(63, True), (64, False)])
def test_no_more_than_so_many_are_remembered(between: int, counts: bool) -> None:
    nonces = Nonces(Clock())
    first = nonces.give()
    for _ in range(between):
        nonces.give()
    assert nonces.take(first) is counts
