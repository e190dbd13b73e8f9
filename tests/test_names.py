"""Host names, wildcards and zones: what passes, in which spelling, and why the rest is refused."""

from __future__ import annotations

import pytest

from devtls.errors import InvalidName
from devtls.names import (
    DEFAULT_ZONES,
    Hostname,
    is_below,
    is_ip_address,
    is_wildcard,
    looks_public,
    meant_zone,
    parse_hostname,
    parse_pattern,
    parse_zone,
    pattern_holds,
    zone_of,
)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("app", "app"),
        ("App.Dev.Local", "app.dev.local"),
        ("app.dev.local.", "app.dev.local"),
        ("a-b.c3.x", "a-b.c3.x"),
        ("0x7f", "0x7f"),
        ("my_app", "my_app"),
        ("Tenant_1.App.Test", "tenant_1.app.test"),
        ("_a_.test", "_a_.test"),
        ("my_app.bücher.test", "my_app.xn--bcher-kva.test"),
        ("bücher.test", "xn--bcher-kva.test"),
        ("BÜCHER.test", "xn--bcher-kva.test"),
        ("ｆｕｌｌ.test", "full.test"),
        ("a" * 63 + ".test", "a" * 63 + ".test"),
        (".".join(["a" * 49] * 5) + ".abc", ".".join(["a" * 49] * 5) + ".abc"),
    ],
)
def test_a_host_name_is_lower_case_a_labels(text: str, name: str) -> None:
    assert parse_hostname(text) == name
    assert parse_hostname(parse_hostname(text)) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "a..b",
        ".a",
        "bü_cher.test",
        "-_a",
        "-a",
        "a-",
        "a b",
        "a/b",
        "a:1",
        "a\n",
        "a\0",
        "*.a",
        "a" * 64,
        ".".join(["a" * 50] * 6),
        "127.0.0.1",
        "127.0.0.1.",
        "１２７.0.0.1",
        "☃.test",
        "\ud800.test",
        "é" * 70 + ".test",
    ],
)
def test_what_is_no_host_name_is_refused(text: str) -> None:
    with pytest.raises(InvalidName) as caught:
        parse_hostname(text)
    assert caught.value.name == text
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(("text", "is_one"), [("127.0.0.1", True), ("::1", True), ("[::1]", False), ("1.2.3", False)])
def test_ip_addresses_are_recognised(text: str, is_one: bool) -> None:
    assert is_ip_address(text) is is_one


def test_below_goes_by_whole_labels() -> None:
    assert is_below("dev.local", "dev.local")
    assert is_below("a.b.dev.local", "dev.local")
    assert not is_below("mydev.local", "dev.local")
    assert not is_below("local", "dev.local")


def test_the_longest_zone_holds_a_name() -> None:
    zones = [Hostname("test"), Hostname("a.test"), Hostname("dev.local")]
    assert zone_of("x.a.test", zones) == "a.test"
    assert zone_of("x.b.test", zones) == "test"
    assert zone_of("example.com", zones) is None
    assert zone_of("app.localhost", DEFAULT_ZONES) == "localhost"


def is_public(name: str) -> bool:
    return name in {"co.uk", "github.io"}


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ("localhost", "localhost"),
        ("test", "test"),
        ("internal", "internal"),
        ("home.arpa", "home.arpa"),
        ("*.dev.local", "dev.local"),
        (".dev.local", "dev.local"),
        ("corp.example.com", "corp.example.com"),
        ("a.localhost", "a.localhost"),
        ("a.test", "a.test"),
    ],
)
def test_development_zones_pass(text: str, zone: str) -> None:
    assert parse_zone(text, is_public_suffix=is_public) == zone


@pytest.mark.parametrize(
    ("text", "why"), [("local", "mDNS"), ("com", "top-level"), ("dev", "top-level"), ("co.uk", "public suffix")]
)
def test_public_zones_are_refused_with_the_reason_and_a_hint(text: str, why: str) -> None:
    with pytest.raises(InvalidName, match=why) as caught:
        parse_zone(text, is_public_suffix=is_public)
    assert caught.value.hint


def test_only_names_of_two_labels_are_looked_up_as_public_suffixes() -> None:
    asked: list[str] = []

    def note(name: str) -> bool:
        asked.append(name)
        return False

    parse_zone("dev.local", is_public_suffix=note)
    parse_zone("test", is_public_suffix=note)
    assert asked == ["dev.local"]


def test_a_pattern_is_a_name_or_a_star_and_a_name() -> None:
    assert parse_pattern("App") == "app"
    assert parse_pattern("*.App") == "*.app"
    assert is_wildcard("*.app")
    assert not is_wildcard("app")


@pytest.mark.parametrize("text", ["*", "a.*", "*a.b", "*.*.a", "*.", "a*b"])
def test_a_star_elsewhere_is_refused(text: str) -> None:
    with pytest.raises(InvalidName):
        parse_pattern(text)


@pytest.mark.parametrize(
    ("pattern", "name", "holds"),
    [
        ("app.test", "app.test", True),
        ("app.test", "a.app.test", False),
        ("*.test", "app.test", True),
        ("*.test", "a.app.test", True),
        ("*.test", "test", False),
        ("*.test", "nottest", False),
        ("*", "anything.at.all", True),
    ],
)
def test_a_pattern_holds_names(pattern: str, name: str, holds: bool) -> None:
    assert pattern_holds(pattern, name) is holds


@pytest.mark.parametrize(
    ("name", "public"),
    [("app.example.com", True), ("app.de", True), ("app.lan", True), ("api.app", False), ("v1.42", False)],
)
def test_names_in_full_are_known_by_their_end(name: str, public: bool) -> None:
    assert looks_public(name) is public


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("app.dev", "app.dev.local"),
        ("a.b.dev.lokal", "a.b.dev.local"),
        ("app.tests", "app.test"),
        ("app.localhos", "app.localhost"),
        ("fix-ui.web", ""),
        ("api.rest", ""),
    ],
)
def test_a_zone_that_was_misspelt_is_recognised(name: str, meant: str) -> None:
    zones = (Hostname("dev.local"), Hostname("localhost"), Hostname("test"))
    assert meant_zone(name, zones) == meant
