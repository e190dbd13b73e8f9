"""Targets: every spelling that is meant, none that could mean something else, never a link-local address."""

from __future__ import annotations

import pytest

from devtls.config import StaticTarget, Target, TcpTarget, UnixTarget, is_loopback_host, is_refused_address
from devtls.config.target import TargetError, parse_listen_address, parse_target
from devtls.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("3000", TcpTarget("http", "", 3000)),
        (":3000", TcpTarget("http", "", 3000)),
        ("65535", TcpTarget("http", "", 65535)),
        ("127.0.0.1:8000", TcpTarget("http", "127.0.0.1", 8000)),
        ("[::1]:8000", TcpTarget("http", "::1", 8000)),
        ("[0:0:0:0:0:0:0:1]:8000", TcpTarget("http", "::1", 8000)),
        ("[::ffff:127.0.0.1]:8000", TcpTarget("http", "127.0.0.1", 8000)),
        ("LocalHost:8000", TcpTarget("http", "localhost", 8000)),
        ("db.test:1", TcpTarget("http", "db.test", 1)),
        ("http://localhost", TcpTarget("http", "localhost", 80)),
        ("HTTP://localhost:8000/", TcpTarget("http", "localhost", 8000)),
        ("https://10.0.0.5", TcpTarget("https", "10.0.0.5", 443)),
        ("https://[2001:db8::1]", TcpTarget("https", "2001:db8::1", 443)),
        ("https://bücher.example:444", TcpTarget("https", "xn--bcher-kva.example", 444)),
        ("unix:/run/app.sock", UnixTarget("/run/app.sock")),
        ("unix:///run/app.sock", UnixTarget("/run/app.sock")),
        ("unix:tmp/app.sock", UnixTarget("/project/tmp/app.sock")),
        (".", StaticTarget("/project")),
        ("./site", StaticTarget("/project/site")),
        ("../site", StaticTarget("/project/../site")),
        ("/srv/site", StaticTarget("/srv/site")),
        ("..", StaticTarget("/project/..")),
    ],
)
def test_each_spelling_of_a_target(text: str, target: Target) -> None:
    assert parse_target(text, "/project") == target


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("site", "no port"),
        ("0", "no port"),
        ("65536", "no port"),
        ("99999999999", "no port"),
        ("localhost:", "no port"),
        ("localhost:x", "no port"),
        ("localhost:٣", "no port"),
        ("٣٠٠٠", "neither"),
        ("127.0.0.1:0x50", "no port"),
        ("http://localhost:65536", "no port"),
        ("::1:3000", "brackets"),
        ("[localhost]:3000", "no IPv6"),
        ("[::1]", "has no port"),
        ("[::1", "brackets"),
        ("http://", "more than an origin"),
        ("http://localhost/app", "more than an origin"),
        ("http://localhost?x", "more than an origin"),
        ("http://localhost#x", "more than an origin"),
        ("http://localhost\\x", "more than an origin"),
        ("http://me:secret@localhost", "user name"),
        ("http://a+b", "neither an IP address nor a host name"),
        ("grpc://localhost:3000", "is not needed"),
        ("grpcs://localhost:3000", "is not needed"),
        ("ws://localhost:3000", "not needed"),
        ("wss://localhost:3000", "not needed"),
        ("file:///srv", "file://"),
        ("ftp://localhost", "not supported"),
        ("unix:", "empty"),
        ("unix:@app", "abstract"),
        ("unix:/" + "a" * 107, "107 bytes"),
        ("unix:/\0", "no path"),
        ("unix:/\ud800", "no path"),
        ("unix:~/app.sock", "not expanded"),
        ("./\0", "no path"),
        ("[::1%lo]:3000", "scope"),
        ("0.0.0.0:3000", "listen on"),
        ("[::]:3000", "listen on"),
        ("224.0.0.1:3000", "one host"),
        ("255.255.255.255:3000", "one host"),
        ("[ff02::1]:3000", "one host"),
    ],
)
def test_what_is_no_target_is_refused_with_a_hint(text: str, why: str) -> None:
    with pytest.raises(TargetError, match=why) as caught:
        parse_target(text, "/project")
    assert caught.value.hint


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "169.254.0.0",
        "169.254.255.255",
        "[fe80::1]",
        "[fe80::1%eth0]",
        "[FEBF::1]",
        "[::ffff:169.254.169.254]",
        "[::ffff:a9fe:a9fe]",
        "[0:0:0:0:0:ffff:a9fe:a9fe]",
        "[::169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:a9fe:a9fe::1]",
        "[64:ff9b:1::a9fe:a9fe]",
        "[2001:0:a9fe:a9fe::1]",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "[fd00:ec2::254]",
        "[fd00:ec2::23]",
        "[fd20:ce::254]",
        "[::ffff:100.100.100.200]",
        "[::ffff:a83f:8110]",
        "[2002:c000:c0::1]",
        "[64:ff9b::6464:64c8]",
    ],
)
@pytest.mark.parametrize("form", ["{}:80", "http://{}", "https://{}:8443/"])
def test_addresses_of_cloud_metadata_services_are_refused_in_every_spelling(host: str, form: str) -> None:
    with pytest.raises(TargetError, match="link-local or a cloud metadata service's, and always refused") as caught:
        parse_target(form.format(host), "/project")
    for named in ("169.254.0.0/16", "fd00:ec2::/32", "100.100.100.200", "168.63.129.16", "192.0.0.192"):
        assert named in caught.value.hint
    address = host.strip("[]").partition("%")[0]
    assert is_refused_address(address)


@pytest.mark.parametrize(
    "host", ["100.100.100.201", "168.63.129.17", "192.0.0.1", "[fd00:ec3::254]", "[2002:a00:1::1]"]
)
def test_their_neighbours_are_ordinary_addresses(host: str) -> None:
    assert isinstance(parse_target(f"{host}:80", "/project"), TcpTarget)


@pytest.mark.parametrize(
    "text", ["x" * 300_000 + ":1", "unix:" + "x" * 300_000, "./" + "x" * 300_000, "http://x/" + "x" * 300_000]
)
def test_what_is_too_long_is_refused_and_never_shown_whole(text: str) -> None:
    with pytest.raises(TargetError) as caught:
        parse_target(text, "/project")
    assert len(str(ConfigError(str(caught.value), hint=caught.value.hint))) < 1000


@pytest.mark.parametrize(
    "host",
    [
        "2852039166",
        "0xa9fea9fe",
        "0XA9FEA9FE",
        "025177524776",
        "169.254.43518",
        "169.16689662",
        "0251.0376.0251.0376",
        "0xa9.0xfe.0xa9.0xfe",
        "169.254.169.254.",
        "0xa9fea9fe.",
        "１６９.254.169.254",
        "169。254。169。254",
        "０xa9fea9fe",
        "0x",
        "127.1",
        "1",
    ],
)
def test_numbers_that_only_the_c_library_reads_as_addresses_are_refused(host: str) -> None:
    with pytest.raises(TargetError, match="neither an IP address nor a host name"):
        parse_target(f"http://{host}:80", "/project")


@pytest.mark.parametrize(
    ("address", "refused"),
    [
        ("169.254.169.254", True),
        ("::ffff:169.254.1.1", True),
        ("fe80::1%2", True),
        ("0.0.0.0", True),
        ("224.0.0.1", True),
        ("10.0.0.5", False),
        ("::1", False),
        ("2002:0a00:0001::1", False),
        ("2001:db8::1", False),
        ("app.test", False),
    ],
)
def test_what_a_name_resolved_to_can_be_asked_about(address: str, refused: bool) -> None:
    assert is_refused_address(address) is refused


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("", True),
        ("localhost", True),
        ("app.localhost", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("10.0.0.5", False),
        ("notlocalhost", False),
        ("localhost.example.com", False),
        ("::127.0.0.1", False),
    ],
)
def test_loopback_is_this_machine(host: str, loopback: bool) -> None:
    assert is_loopback_host(host) is loopback


@pytest.mark.parametrize(
    ("text", "address"),
    [("127.0.0.1", "127.0.0.1"), ("127.0.0.2", "127.0.0.2"), ("::1", "::1"), ("[::1]", "::1"), ("0::1", "::1")],
)
def test_loopback_addresses_can_be_listened_on(text: str, address: str) -> None:
    assert parse_listen_address(text) == address


@pytest.mark.parametrize("text", ["", "localhost", "0.0.0.0", "::", "192.168.1.2", "::1%lo", "[127.0.0.1", "127.1"])
def test_nothing_else_can_be_listened_on(text: str) -> None:
    with pytest.raises(TargetError, match="no loopback address"):
        parse_listen_address(text)
