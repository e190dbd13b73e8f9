from __future__ import annotations

from ipaddress import ip_address

import pytest

from devtls.errors import InvalidName, NameNotPermitted
from devtls.names import DEFAULT_ZONES
from devtls.pki.names_in_certificates import MAX_NAMES, parse_names


def test_names_are_normalised_and_each_stands_there_once_in_the_order_given() -> None:
    names = parse_names(
        ["B.test", "*.App.dev.local", "[::1]", "127.0.0.9", "b.test.", "bücher.test"], DEFAULT_ZONES, "server"
    )
    assert names == (
        "b.test",
        "*.app.dev.local",
        ip_address("::1"),
        ip_address("127.0.0.9"),
        "xn--bcher-kva.test",
    )


def test_the_zones_themselves_can_be_certified() -> None:
    assert parse_names(DEFAULT_ZONES, DEFAULT_ZONES, "server") == DEFAULT_ZONES
    assert parse_names(["*.dev.local"], DEFAULT_ZONES, "server") == ("*.dev.local",)


@pytest.mark.parametrize(
    ("text", "said", "way_out"),
    [
        ("app", "a certificate holds names in full", "app.dev.local"),
        ("example.com", "none of this CA's zones (dev.local, localhost, test)", "--zone ZONE"),
        ("*.example.com", "none of this CA's zones", "--zone ZONE"),
        ("*.app", "names in full", "*.app.dev.local"),
        ("xdev.local", "none of this CA's zones", "--zone ZONE"),
        ("*.test", "No browser accepts the wildcard '*.test'", "*.app.test"),
        ("10.0.0.1", "10.0.0.1 is no loopback address", "db.dev.local"),
        ("::2", "::2 is no loopback address", "db.dev.local"),
        ("::ffff:127.0.0.1", "is no loopback address", "db.dev.local"),
        ("Ann.Lee@example.com", "is a mail address", "ann-lee.dev.local"),
        ("@", "is a mail address", "me.dev.local"),
    ],
)
def test_a_name_outside_the_ca_is_refused_with_the_reason_and_a_hint(text: str, said: str, way_out: str) -> None:
    with pytest.raises(NameNotPermitted) as caught:
        parse_names([text], DEFAULT_ZONES, "server")
    assert said in str(caught.value)
    assert way_out in caught.value.hint


@pytest.mark.parametrize("text", ["", "a..b", "a+b.test", "a.*.test", "::1%lo", "[127.0.0.1"])
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(InvalidName):
        parse_names([text], DEFAULT_ZONES, "server")


def test_a_client_has_no_wildcard() -> None:
    with pytest.raises(NameNotPermitted) as caught:
        parse_names(["*.app.test"], DEFAULT_ZONES, "client")
    assert caught.value.hint == "such as me.app.test"


def test_no_name_and_too_many_are_refused() -> None:
    with pytest.raises(InvalidName, match="no name"):
        parse_names([], DEFAULT_ZONES, "server")
    with pytest.raises(InvalidName, match="101 names"):
        parse_names([f"a{number}.test" for number in range(MAX_NAMES + 1)], DEFAULT_ZONES, "server")
