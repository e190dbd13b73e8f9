from __future__ import annotations

from ipaddress import ip_address

import pytest

from devtls.doctor.tls_check.address import parse_address
from devtls.doctor.tls_check.names import match_name
from tests.doctor.tls_check.pki import LeafSpec, self_signed


def suffix(name: str) -> bool:
    return name in {"com", "co.uk", "test"}


def match(host: str, *dns: str, ips: tuple[str, ...] = (), subject: str = "somebody") -> tuple[bool, str]:
    certificate = self_signed(LeafSpec(subject=subject, dns=dns, ips=ips)).facts
    return match_name(parse_address(host).host, certificate, suffix)


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("app.dev.local", "app.dev.local"),
        ("app.dev.local", "APP.dev.Local"),
        ("app.dev.local", "*.dev.local"),
        ("xn--bcher-kva.dev.local", "*.dev.local"),
        ("localhost", "localhost"),
    ],
)
def test_names_that_match(host: str, name: str) -> None:
    fine, sentence = match(host, "other.test", name)
    assert fine, sentence
    assert name.lower() in sentence


@pytest.mark.parametrize(
    ("host", "name", "said"),
    [
        ("app.test", "*.test", "no browser takes a wildcard directly below test"),
        ("shop.co.uk", "*.co.uk", "no browser takes a wildcard directly below co.uk"),
        ("localhost", "*", "not for localhost"),
        ("a.b.dev.local", "*.dev.local", "(*.dev.local stands for exactly one label)"),
        ("dev.local", "*.dev.local", "(*.dev.local stands for exactly one label)"),
        ("app.dev.local", "a*.dev.local", "not for app.dev.local"),
        ("app.dev.local", "app.*.local", "not for app.dev.local"),
        ("xapp.dev.local", "app.dev.local", "not for xapp.dev.local"),
        ("app.dev.local.evil.test", "app.dev.local", "not for app.dev.local.evil.test"),
    ],
)
def test_names_that_do_not_match_and_why(host: str, name: str, said: str) -> None:
    fine, sentence = match(host, name)
    assert (fine, said in sentence) == (False, True), sentence


def test_addresses_match_addresses_alone() -> None:
    assert match("127.0.0.1", ips=("127.0.0.1",)) == (True, "The certificate is for the address 127.0.0.1.")
    assert match("[0:0::1]", ips=("::1",))[0]
    assert match("127.0.0.1", "127.0.0.1") == (
        False,
        "127.0.0.1 stands there as if it were a DNS name; browsers look for addresses of type IP only.",
    )
    assert match("10.0.0.1", ips=("127.0.0.1",)) == (False, "The certificate is for 127.0.0.1, not for 10.0.0.1.")


def test_a_zone_of_an_address_is_no_part_of_it() -> None:
    certificate = self_signed(LeafSpec(ips=("fe80::1",))).facts
    host = ip_address("fe80::1%eth0")
    assert match_name(host, certificate, suffix)[0]


def test_the_common_name_never_counts() -> None:
    fine, sentence = match("app.dev.local", subject="app.dev.local")
    assert not fine
    assert sentence.startswith("app.dev.local stands in the common name only")
    assert "it must be among" in sentence
    fine, sentence = match("app.dev.local", subject="other")
    assert sentence.startswith("other stands in the common name only")
    assert "app.dev.local must be among" in sentence
    assert match("app.dev.local", subject="")[1] == ("The certificate names nobody: it has no alternative names (SAN).")


def test_many_names_are_counted_not_listed() -> None:
    _, sentence = match("x.test", *(f"n{number}.test" for number in range(9)))
    assert sentence == "The certificate is for n0.test, n1.test, n2.test, n3.test and 5 more, not for x.test."
