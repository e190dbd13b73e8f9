from __future__ import annotations

import pytest

from devtls.doctor.tls_check.address import parse_address
from devtls.doctor.tls_check.evidence import FailureReason, HandshakeFailed, LocalCa
from devtls.doctor.tls_check.failure import TlsCheckFailure, explain
from devtls.names import DEFAULT_ZONES

OURS = LocalCa(DEFAULT_ZONES)


def explained(address: str, reason: FailureReason, **more: object) -> TlsCheckFailure:
    return explain(parse_address(address), HandshakeFailed(reason, **more), OURS)  # type: ignore[arg-type] # HandshakeFailed's own


@pytest.mark.parametrize("reason", list(FailureReason))
@pytest.mark.parametrize("address", ["app.dev.local", "shop.example", "127.0.0.1:8443", "[::1]", "localhost"])
def test_every_reason_has_a_sentence_and_advice(reason: FailureReason, address: str) -> None:
    failure = explained(address, reason, detail="why", ip="127.0.0.1")
    assert failure.sentence.endswith(".")
    assert failure.advice
    assert failure.reason is reason


def test_a_name_of_ours_that_does_not_resolve_gets_the_command() -> None:
    ours, foreign = (
        explained("app.dev.local", FailureReason.UNKNOWN_NAME),
        explained("app.example", FailureReason.UNKNOWN_NAME),
    )
    assert ours.advice[0].startswith("devtls setup names makes it resolve")
    assert foreign.advice[0] == "Check the spelling."


def test_a_port_that_listens_instead_is_named() -> None:
    failure = explained("app.dev.local", FailureReason.REFUSED, ip="127.0.0.1", open_port=8443)
    assert failure.advice == ("Port 8443 listens there: devtls check app.dev.local:8443",)


def test_a_closed_port_of_ours_means_that_serve_is_not_running() -> None:
    assert "devtls serve" in explained("app.dev.local", FailureReason.REFUSED, ip="127.0.0.1").advice[0]
    assert "devtls serve" not in explained("shop.example", FailureReason.REFUSED, ip="192.0.2.1").advice[0]


def test_unrecognized_name_inside_and_outside_the_zones() -> None:
    inside = explained("app.dev.local", FailureReason.UNRECOGNIZED_NAME)
    outside = explained("shop.example.com", FailureReason.UNRECOGNIZED_NAME)
    assert "lies in a zone of devtls (dev.local, localhost, test)" in inside.advice[0]
    assert "shop.example.com is outside. Take a name such as app.dev.local." in outside.advice[0]
    assert outside.advice[1].endswith("devtls ca renew --zone shop.example.com")
