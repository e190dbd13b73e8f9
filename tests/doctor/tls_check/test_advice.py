"""Advice depends on whose server it is: ours, an older CA of ours, this machine's, the internet's."""

from __future__ import annotations

from datetime import datetime

import pytest

from devtls.doctor.tls_check.address import parse_address
from devtls.doctor.tls_check.advice import is_public_address
from devtls.doctor.tls_check.evidence import Evidence, Handshake, LocalCa
from devtls.doctor.tls_check.path import find_path
from devtls.doctor.tls_check.verdict import decide
from devtls.names import DEFAULT_ZONES
from tests.doctor.tls_check.pki import DAY, NOW, Issued, LeafSpec, make_intermediate, make_root, self_signed

ROOT = make_root("devtls root 0123abcd")
INTERMEDIATE = make_intermediate(ROOT, "devtls intermediate 4567cdef")
LEAF = INTERMEDIATE.issue(LeafSpec(subject="", dns=("app.dev.local",), critical_san=True))


def advice(
    *sent: Issued, local_ca: LocalCa, address: str = "app.dev.local", ip: str = "127.0.0.1", now: datetime = NOW
) -> str:
    certificates = [each.facts for each in sent]
    path = find_path(certificates, [], [local_ca.root] if local_ca.root else [], now)
    handshake = Handshake(ip, (), True, "TLS 1.3", "TLS_AES_256_GCM_SHA384", "")
    evidence = Evidence(parse_address(address), handshake, path, (), False, (), (), local_ca, now)
    return " ".join(decide(evidence, lambda _: False).advice)


def test_the_present_ca_needs_trust() -> None:
    assert advice(LEAF, INTERMEDIATE, local_ca=LocalCa(DEFAULT_ZONES, ROOT.facts)).startswith(
        "devtls trust puts the root"
    )


def test_an_older_ca_needs_a_restart() -> None:
    said = advice(LEAF, INTERMEDIATE, local_ca=LocalCa(DEFAULT_ZONES, make_root("devtls root 99999999").facts))
    assert "not the present one of this machine" in said
    assert "restart devtls serve" in said


def test_another_machines_ca_needs_its_root() -> None:
    assert "export its root there (devtls ca export)" in advice(LEAF, INTERMEDIATE, local_ca=LocalCa(DEFAULT_ZONES))


def test_a_leaf_of_ours_that_ended_needs_a_restart() -> None:
    said = advice(LEAF, INTERMEDIATE, local_ca=LocalCa(DEFAULT_ZONES, ROOT.facts), now=NOW + 91 * DAY)
    assert "Restart devtls serve: it makes a new certificate for each name." in said


def test_a_name_of_ours_that_was_connected_elsewhere() -> None:
    said = advice(LEAF, INTERMEDIATE, local_ca=LocalCa(DEFAULT_ZONES, ROOT.facts), address="other.dev.local")
    assert "open https://other.dev.local/ itself, without --connect" in said


@pytest.mark.parametrize(
    ("address", "ip", "expected"),
    [("shop.example.com", "93.184.215.14", "Let's Encrypt"), ("shop.example.com", "127.0.0.1", "devtls serve")],
)
def test_a_self_signed_certificate_here_and_on_the_internet(address: str, ip: str, expected: str) -> None:
    alone = self_signed(LeafSpec(dns=(address,)))
    assert expected in advice(alone, local_ca=LocalCa(DEFAULT_ZONES), address=address, ip=ip)


@pytest.mark.parametrize(
    ("address", "ip", "public"),
    [
        ("shop.example.com", "93.184.215.14", True),
        ("shop.example.com", "10.0.0.1", True),  # a name of the public DNS can be certified wherever it leads
        ("shop.example.com", "::1", False),
        ("app.test", "10.0.0.1", False),
        ("printer.local", "10.0.0.1", False),
        ("intranet", "10.0.0.1", False),
        ("93.184.215.14", "93.184.215.14", False),
    ],
)
def test_whom_a_public_ca_could_certify(address: str, ip: str, *, public: bool) -> None:
    assert is_public_address(parse_address(address), ip) is public
