"""The ClientHello peek: real hellos in every piece and record size, and garbage, which never raises."""

from __future__ import annotations

import ssl

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from devtls.net.tls.client_hello import ClientHello, Peek, peek_client_hello


def real_hello(name: str | None, protocols: tuple[str, ...] = ()) -> bytes:
    """Return what Python's own client sends first."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if protocols:
        context.set_alpn_protocols(list(protocols))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    return outgoing.read()


def record(payload: bytes, kind: int = 0x16) -> bytes:
    return bytes((kind, 3, 1)) + len(payload).to_bytes(2, "big") + payload


def records(payload: bytes, size: int) -> bytes:
    return b"".join(record(payload[at : at + size]) for at in range(0, len(payload), size))


def vector(data: bytes, length_bytes: int) -> bytes:
    return len(data).to_bytes(length_bytes, "big") + data


def extension(kind: int, body: bytes) -> bytes:
    return kind.to_bytes(2, "big") + vector(body, 2)


def message(*extensions: bytes) -> bytes:
    body = b"\x03\x03" + bytes(32) + vector(b"", 1) + vector(b"\x13\x01", 2) + vector(b"\0", 1)
    return b"\x01" + vector(body + vector(b"".join(extensions), 2), 3)


def longer(hello: bytes) -> bytes:
    """Return a ClientHello with a byte behind its extensions."""
    return b"\x01" + vector(hello[4:] + b"x", 3)


def server_name(name: bytes, kind: bytes = b"\0") -> bytes:
    return extension(0, vector(kind + vector(name, 2), 2))


A_TEST = b"\0" + vector(b"a.test", 2)
HELLO = real_hello("App.Dev.Local", ("h2", "http/1.1"))
EXPECTED = ClientHello("app.dev.local", (b"h2", b"http/1.1"))


def test_name_and_protocols_are_read() -> None:
    assert peek_client_hello(HELLO) == EXPECTED


def test_a_client_without_a_name_or_protocols_is_read() -> None:
    assert peek_client_hello(real_hello(None)) == ClientHello(None, None)


def test_an_address_as_a_name_is_no_sni() -> None:
    assert peek_client_hello(real_hello("127.0.0.1")) == ClientHello(None, None)


def test_what_follows_the_hello_is_left_alone() -> None:
    assert peek_client_hello(HELLO + b"\x17\x03\x03\x00\x05early") == EXPECTED


def test_every_beginning_of_a_hello_is_incomplete() -> None:
    for end in range(len(HELLO)):
        assert peek_client_hello(HELLO[:end]) is Peek.INCOMPLETE


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 100, 16384])
def test_a_hello_in_many_records_is_joined(size: int) -> None:
    # Chromium's post-quantum key shares no longer fit one TCP segment, and some clients cut records on purpose.
    split = records(HELLO[5:], size)
    assert peek_client_hello(split) == EXPECTED
    for end in range(len(split)):
        assert peek_client_hello(split[:end]) is Peek.INCOMPLETE


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n", b"\x80\x2e\x01\x03\x01", b"\x15\x03\x03\x00\x02\x02\x28", b"SSH-2.0-x\r\n", b"\0"]
)
def test_what_does_not_begin_like_a_handshake_is_not_tls(data: bytes) -> None:
    assert peek_client_hello(data) is Peek.NOT_TLS


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x16\x05\x01\x00\x04\x01\x00\x00\x00", id="major version 5"),
        pytest.param(record(b""), id="empty record"),
        pytest.param(b"\x16\x03\x01\xff\xff", id="record over 2^14"),
        pytest.param(record(b"\x02\x00\x00\x00"), id="ServerHello"),
        pytest.param(record(b"\x01\x01\x00\x00"), id="hello over 64 KiB"),
        pytest.param(record(b"\x01\xff\xff\xff"), id="hello of 16 MiB"),
        pytest.param(record(HELLO[5:105]) + record(HELLO[105:], 0x17), id="another record type in between"),
        pytest.param(record(b"\x01\x00\x00\x00"), id="empty hello"),
        pytest.param(record(message(extension(0, b""))), id="server_name without a list"),
        pytest.param(record(message(extension(0, vector(b"", 2)))), id="empty list of names"),
        pytest.param(record(message(server_name(b"app", b"\x01"))), id="no name of type host_name"),
        pytest.param(record(message(server_name("ä.test".encode()))), id="name that is not ASCII"),
        pytest.param(record(message(server_name(b""))), id="empty name"),
        pytest.param(record(message(extension(0, vector(A_TEST, 2) + b"x"))), id="bytes behind the names"),
        pytest.param(record(message(extension(0, vector(A_TEST * 2, 2)))), id="two host names"),
        pytest.param(record(message(extension(16, b""))), id="ALPN without a list"),
        pytest.param(record(message(extension(16, vector(b"", 2)))), id="empty list of protocols"),
        pytest.param(record(message(extension(16, vector(b"\x02h2\0", 2)))), id="protocol without a name"),
        pytest.param(record(message(extension(16, vector(b"\x02h2", 2) + b"x"))), id="bytes behind the protocols"),
        pytest.param(record(message(extension(16, b"\x00\x05\x09h2"))), id="protocol longer than its list"),
        pytest.param(record(longer(message(server_name(b"a.test")))), id="bytes behind the extensions"),
        pytest.param(record(message(b"\x00\x0a\x00\x09x")), id="extension longer than the hello"),
    ],
)
def test_a_broken_hello_is_malformed(data: bytes) -> None:
    assert peek_client_hello(data) is Peek.MALFORMED


def test_a_hello_of_64_kib_is_still_read() -> None:
    padding = extension(21, bytes(65000))
    assert peek_client_hello(records(message(server_name(b"a.test"), padding), 16384)) == ClientHello("a.test", None)


def test_a_hello_that_ends_before_its_extensions_is_read() -> None:
    old = b"\x03\x01" + bytes(32) + vector(b"", 1) + vector(b"\x00\x2f", 2) + vector(b"\0", 1)
    assert peek_client_hello(record(b"\x01" + vector(old, 3))) == ClientHello(None, None)


def test_nothing_is_incomplete() -> None:
    assert peek_client_hello(b"") is Peek.INCOMPLETE


@given(st.binary(max_size=600))
@example(b"\x16\x03\x01\x00\x01\x01")
def test_no_bytes_raise(data: bytes) -> None:
    assert isinstance(peek_client_hello(data), Peek | ClientHello)
    assert isinstance(peek_client_hello(record(b"\x01" + vector(data, 3))), Peek | ClientHello)


@given(st.integers(0, len(HELLO) - 1), st.integers(0, 255))
def test_no_changed_byte_raises(at: int, value: int) -> None:
    changed = HELLO[:at] + bytes((value,)) + HELLO[at + 1 :]
    assert isinstance(peek_client_hello(changed), Peek | ClientHello)
