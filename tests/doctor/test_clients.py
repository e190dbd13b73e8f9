from __future__ import annotations

from pathlib import Path

import pytest

from devtls.doctor.clients import CLIENTS, Needs, Probe, RefusalReason, read_reason

PROBE = Probe("app.dev.local", 4430)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("curl: (60) SSL certificate problem: permitted subtree violation", RefusalReason.NAME_CONSTRAINTS),
        ("verify error:num=47:permitted subtree violation\nverify return:1", RefusalReason.NAME_CONSTRAINTS),
        ("PERMITTED_VIOLATION: permitted subtree violation", RefusalReason.NAME_CONSTRAINTS),
        ("The certificate chain violates the signer's constraints.", RefusalReason.NAME_CONSTRAINTS),
        ("SEC_ERROR_CERT_NOT_IN_NAME_SPACE", RefusalReason.NAME_CONSTRAINTS),
        ("curl: (60) SSL certificate problem: unable to get local issuer certificate", RefusalReason.UNKNOWN_ROOT),
        ("verify error:num=20:unable to get local issuer certificate", RefusalReason.UNKNOWN_ROOT),
        ("UNABLE_TO_VERIFY_LEAF_SIGNATURE: unable to verify the first certificate", RefusalReason.UNKNOWN_ROOT),
        ("SELF_SIGNED_CERT_IN_CHAIN: self-signed certificate in certificate chain", RefusalReason.UNKNOWN_ROOT),
        ("The certificate issuer is unknown.", RefusalReason.UNKNOWN_ROOT),
        ("certificate has expired", RefusalReason.OTHER),
        ("", RefusalReason.OTHER),
    ],
)
def test_each_clients_words_are_understood(said: str, reason: RefusalReason) -> None:
    assert read_reason(said) is reason


def test_every_client_is_sent_to_loopback_under_the_name() -> None:
    for row in CLIENTS:
        argv = row.argv(Path("/usr/bin/tool"), PROBE)
        assert argv[0] == "/usr/bin/tool"
        assert any("app.dev.local" in word for word in argv)
        assert any("4430" in word for word in argv)
        assert any("127.0.0.1" in word for word in argv)


def test_only_node_gets_the_bare_root_since_its_variable_adds() -> None:
    assert {row.name: row.needs for row in CLIENTS if row.needs is Needs.ROOT} == {"node": Needs.ROOT}
