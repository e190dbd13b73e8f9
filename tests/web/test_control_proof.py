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


def test_no_number_of_questions_pushes_one_out_or_is_remembered() -> None:
    clock = Clock()
    nonces = Nonces(clock)
    first = nonces.give()
    for _ in range(10_000):
        assert not nonces.take(nonces.give()[::-1])
    assert nonces._used == {}
    assert nonces.take(first)
    assert not nonces.take(first)
    assert not nonces.take(first.upper())
    clock.now += 11
    assert not nonces.take(first)
    assert nonces.take(nonces.give())
    assert len(nonces._used) == 1


@pytest.mark.parametrize("nonce", ["", "00", "é", "0" * 64, "0" * 80, "zz", "ab " * 30])
def test_what_we_did_not_give_is_none(nonce: str) -> None:
    assert not Nonces(Clock()).take(nonce)
    assert not Nonces(Clock()).take(Nonces(Clock()).give())
