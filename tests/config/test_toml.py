"""devtls.toml is read as it is meant, and every mistake is told with its place and a way out."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devtls.config import (
    LIMIT_RANGES,
    MAX_FILE_BYTES,
    CaConfig,
    Config,
    DnsConfig,
    LimitsConfig,
    PacConfig,
    ServeConfig,
    parse_config,
    parse_listen_arguments,
)
from devtls.config.document import shown
from devtls.errors import ConfigError
from tests.effort import examples


def parse(text: str | bytes) -> Config:
    data = text.encode() if isinstance(text, str) else text
    return parse_config(data, source="devtls.toml", directory="/project")


def refuse(text: str | bytes) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert caught.value.source == "devtls.toml"
    assert str(caught.value).endswith(".")
    return caught.value


def test_an_empty_file_is_the_defaults() -> None:
    assert parse("") == Config(ServeConfig(), LimitsConfig(), (), "devtls.toml")


def test_every_setting_of_serve() -> None:
    config = parse(
        """
        [serve]
        https_port = 8443
        http_port = 0
        listen = ["127.0.0.2", "[::1]", "::1"]
        redirect = false
        log_format = "json"
        http2 = false
        trust_forwarded = true
        """
    )
    assert config.serve == ServeConfig(8443, 0, ("127.0.0.2", "::1"), False, "json", False, True)


def test_every_setting_of_the_ca() -> None:
    assert parse("").ca == CaConfig(False)
    assert parse("[ca]\nocsp = true").ca == CaConfig(True)


@pytest.mark.parametrize(
    ("line", "key", "hint"),
    [
        ("ocsp = 1", "ca.ocsp", "Write ocsp = true or ocsp = false."),
        ("ocps = true", "ca.ocps", "Did you mean ocsp?"),
    ],
)
def test_a_wrong_setting_of_the_ca_is_told(line: str, key: str, hint: str) -> None:
    error = refuse(f"[ca]\n{line}\n")
    assert (error.key, error.hint) == (key, hint)
    assert refuse("ca = true").key == "ca"


def test_every_setting_of_dns() -> None:
    assert parse("").dns == DnsConfig(True, 15353)
    assert parse("[dns]\nenabled = false\nport = 5300").dns == DnsConfig(False, 5300)
    assert parse("dns.port = 0").dns == DnsConfig(True, 0)


def test_every_setting_of_pac() -> None:
    assert parse("").pac == PacConfig(True, 15354)
    assert parse("[pac]\nenabled = false\nport = 8118").pac == PacConfig(False, 8118)
    assert parse("[dns]\nport = 1\n[pac]\nport = 2").dns.port == 1


def test_one_listen_address_needs_no_list() -> None:
    assert parse('[serve]\nlisten = "127.0.0.1"').serve.listen == ("127.0.0.1",)


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("https_port = 65536", "serve.https_port"),
        ("https_port = -1", "serve.https_port"),
        ("https_port = true", "serve.https_port"),
        ('http_port = "80"', "serve.http_port"),
        ("listen = []", "serve.listen"),
        ("listen = 4", "serve.listen"),
        ("listen = [4]", "serve.listen"),
        ('listen = ["0.0.0.0"]', "serve.listen"),
        ('log_format = "xml"', "serve.log_format"),
        ("log_format = 1", "serve.log_format"),
        ('redirect = "no"', "serve.redirect"),
        ("http2 = 1", "serve.http2"),
    ],
)
def test_a_wrong_setting_is_told_with_key_line_and_what_is_allowed(line: str, key: str) -> None:
    error = refuse(f"# settings\n[serve]\n{line}\n")
    assert (error.key, error.line) == (key, 3)
    assert error.hint


@pytest.mark.parametrize(
    ("line", "key", "hint"),
    [
        ("enabled = 1", "dns.enabled", "Write enabled = true or enabled = false."),
        ("port = 65536", "dns.port", "Ports go from 1 to 65535; 0 takes any free one."),
        ("port = true", "dns.port", "Ports go from 1 to 65535; 0 takes any free one."),
        ("ports = 1", "dns.ports", "Did you mean port?"),
    ],
)
def test_a_wrong_setting_of_dns_is_told_alike(line: str, key: str, hint: str) -> None:
    error = refuse(f"[dns]\n{line}\n")
    assert (error.key, error.line, error.hint) == (key, 2, hint)
    assert refuse("dns = 5300").key == "dns"
    error = refuse(f"[pac]\n{line}\n")
    assert (error.key, error.line, error.hint) == (key.replace("dns", "pac"), 2, hint)


def test_every_limit_has_a_range_that_holds_its_default() -> None:
    assert set(LIMIT_RANGES) == set(LimitsConfig.__struct_fields__)
    defaults = LimitsConfig()
    for name, (low, high) in LIMIT_RANGES.items():
        assert low <= getattr(defaults, name) <= high


@pytest.mark.parametrize("name", LIMIT_RANGES)
def test_every_limit_takes_both_ends_of_its_range_and_nothing_beyond(name: str) -> None:
    low, high = LIMIT_RANGES[name]
    for value in (low, high):
        assert getattr(parse(f"limits.{name} = {value}").limits, name) == value
    for beyond in (low - 1, high + 1):
        error = refuse(f"limits.{name} = {beyond}")
        assert (error.key, error.line) == (f"limits.{name}", 1)
        assert error.hint.startswith("Allowed is")


def test_seconds_may_have_fractions_and_counts_may_not() -> None:
    limits = parse("[limits]\nconnect_timeout_s = 1.5\nhead_timeout_s = 3\nmax_fields = 100").limits
    assert (limits.connect_timeout_s, limits.head_timeout_s, limits.max_fields) == (1.5, 3.0, 100)
    assert isinstance(limits.head_timeout_s, float)
    assert refuse("[limits]\nmax_fields = 100.0").key == "limits.max_fields"
    assert refuse("[limits]\nconnect_timeout_s = true").key == "limits.connect_timeout_s"
    assert refuse("[limits]\nconnect_timeout_s = nan").key == "limits.connect_timeout_s"
    assert refuse("[limits]\nconnect_timeout_s = inf").key == "limits.connect_timeout_s"


@pytest.mark.parametrize(
    ("text", "key", "line", "hint"),
    [
        ("[route]\napp = 1", "route", 1, "Did you mean routes?"),
        ("\n[colours]", "colours", 2, "Allowed are: serve, dns, pac, ca, acme, limits, routes."),
        ("[serve]\n\nhttps_prot = 1", "serve.https_prot", 3, "Did you mean https_port?"),
        ("[limits]\nhead_timeout = 1", "limits.head_timeout", 2, "Did you mean head_timeout_s?"),
        ('[limits]\n"a b" = 1', 'limits."a b"', 2, "Allowed are: "),
        ("serve = 1", "serve", 1, "Write [serve] on a line of its own"),
        ("[[routes]]\napp = 1", "routes", 1, "Write [routes] on a line of its own"),
    ],
)
def test_unknown_keys_and_sections_come_with_a_guess(text: str, key: str, line: int, hint: str) -> None:
    error = refuse(text)
    assert (error.key, error.line) == (key, line)
    assert error.hint.startswith(hint)


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("[serve]\nhttps_port = \n", 2, "Invalid value (column 14)"),
        ("\n[serve\n", 2, "Expected ']'"),
        ("[serve]\nhttps_port = 1\nhttps_port = 2", 3, "overwrite"),
        ("a = 2026-13-45T99:99:99", 1, "not TOML"),
        ("a = " + "1" * 5000, 0, "impossible"),
    ],
)
def test_a_syntax_error_names_its_line(text: str, line: int, why: str) -> None:
    error = refuse(text)
    assert error.line == line
    assert why in str(error)


@pytest.mark.parametrize("line", ["app/api = 3000", "*.app = 3000", "  *.app = { target = 1 }"])
def test_names_that_need_quotes_are_recognised(line: str) -> None:
    error = refuse(f"[routes]\n{line}\n")
    assert error.line == 2
    assert "need quotes" in error.hint


def test_files_that_are_no_text_are_refused() -> None:
    assert refuse(b"[serve]\n\nx = \xff").line == 3
    assert "byte order mark" in str(refuse(b"\xef\xbb\xbf[serve]"))
    assert "byte order mark" in str(refuse("[serve]".encode("utf-16")))
    assert "1 MiB" in str(refuse(b"#" * (MAX_FILE_BYTES + 1)))
    assert parse(b"#" * MAX_FILE_BYTES).routes == ()


def test_a_file_that_is_nested_without_end_is_refused() -> None:
    assert "nested too deeply" in str(refuse("a = " + "[" * 100_000))


def test_listen_arguments_are_loopback_and_each_once() -> None:
    assert parse_listen_arguments(["127.0.0.1", "::1", "127.0.0.1"]) == ("127.0.0.1", "::1")
    with pytest.raises(ConfigError, match="no loopback address") as caught:
        parse_listen_arguments(["192.168.0.1"])
    assert caught.value.source == "command line"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (False, "false"),
        ({}, "a table"),
        ([], "a list"),
        ("x", '"x"'),
        ("x" * 61, f'"{"x" * 60}…"'),
        ("a\n\x1b", '"a\\n\\x1b"'),
        (1.5, "1.5"),
        (10**19, str(10**19)),
        pytest.param(1 << 20000, "a huge number", id="huge"),
    ],
)
def test_values_are_shown_as_they_were_written_and_never_too_long(value: object, text: str) -> None:
    assert shown(value) == text


@given(
    st.text(alphabet='ab.*/:"=[]{}\n1é\\ ', max_size=40), st.sampled_from(['routes."{}" = 1', 'routes.a = "{}"', "{}"])
)
@settings(max_examples=examples(300), deadline=None)
def test_whatever_stands_in_the_file_the_answer_is_a_config_or_a_config_error(text: str, frame: str) -> None:
    data = frame.format(text).encode()
    try:
        config = parse_config(data, source="devtls.toml", directory="/project")
    except ConfigError as error:
        assert str(error).startswith("devtls.toml")
    else:
        assert parse_config(data, source="devtls.toml", directory="/project") == config


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("[routes]\napp = 127.0.0.1:3000\n", 'Text needs quotes: app = "127.0.0.1:3000".'),
        ("[routes]\napp = ./site  # files\n", 'Text needs quotes: app = "./site".'),
        ("[routes]\n*.app = 3000\n", "Names with a dot, a star or a slash need quotes"),
        ("[routes]\napp = 3000\napp = 4000\n", "app stands further up already: keep one of the two."),
        ("[routes]\napp 3000\n", "Look at this line: app 3000"),
        ("[routes\n", "Look at this line: [routes"),
        ('app = """\n', ""),
    ],
)
def test_what_is_not_toml_is_shown(text: str, hint: str) -> None:
    assert refuse(text).hint.startswith(hint)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("[serve]\nport = 3000\n", "Did you mean https_port?"),
        ("[serve]\nhttp = 3000\n", "Did you mean http_port?"),
        ("[serve]\nhost = '::1'\n", "Did you mean listen?"),
        ("app = 3000\n", "If app is a route, write it below a line [routes]."),
    ],
)
def test_settings_go_by_other_names_elsewhere(text: str, hint: str) -> None:
    assert refuse(text).hint == hint


_LONG = "a" * 300_000
_TOO_LARGE = {
    "60,000 routes": "[routes]\n" + "".join(f"a{number} = 3000\n" for number in range(60_000)),
    "60,000 routes on a line": "routes = {" + ", ".join(f"a{number} = 1" for number in range(60_000)) + "}",
    "10,001 routes": "[routes]\n" + "".join(f"a{number} = 3000\n" for number in range(10_001)),
    "100,000 sections": "".join(f"[t{number}]\n" for number in range(100_000)),
    "60,000 addresses": "[serve]\nlisten = [" + ", ".join(['"127.0.0.1"'] * 60_000) + "]",
    "a key of 150,000 parts": "[routes]\n" + ".".join("a" * 150_000) + " = 3000",
    "a name of 300,000 letters": f"[routes]\n{_LONG} = 3000",
    "a name of 300,000 letters that are not ASCII": f'[routes]\n"{"ü" * 300_000}" = 3000',
    "a path of 300,000 letters": f'[routes]\n"a/{_LONG}" = 3000',
    "a target of 300,000 letters": f'[routes]\na = "{_LONG}:1"',
    "a scheme of 300,000 letters": f'[routes]\na = "{_LONG}://x"',
    "an option of 300,000 letters": f"[routes]\na = {{ target = 1, {_LONG} = 1 }}",
    "a section of 300,000 letters": f"[{_LONG}]\n",
    "a setting of 300,000 letters": f"[serve]\n{_LONG} = 1",
    "an address of 300,000 letters": f'[serve]\nlisten = "{_LONG}"',
    "a line of 300,000 slashes that is no TOML": "[routes]\na" + "/" * 300_000 + "\n",
}


@pytest.mark.parametrize("text", _TOO_LARGE.values(), ids=_TOO_LARGE)
def test_what_is_too_large_is_refused_within_a_second_and_never_shown_whole(text: str) -> None:
    started = time.process_time()
    error = refuse(text)
    # Three times the second: the suite runs beside others on a busy machine.
    assert time.process_time() - started < 3
    assert len(f"{error} {error.hint} {error.key}") < 1500


def test_the_largest_file_is_read() -> None:
    routes = "".join(f"a{number} = 3000\n" for number in range(10_000))
    assert len(parse(f"[routes]\n{routes}").routes) == 10_000
    assert parse("# a comment. And. So. On.\n" * 35_000).routes == ()
