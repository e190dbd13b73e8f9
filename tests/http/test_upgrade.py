import pytest

from devtls.http.events import Headers, InformationalResponse, Request
from devtls.http.upgrade import accept_for, accepts_key, make_key, refusal_of

SWITCH: Headers = [(b"upgrade", b"WebSocket"), (b"connection", b"keep-alive, Upgrade")]


def asked(upgrade: bytes = b"websocket") -> Request:
    return Request(1, b"GET", b"/ws", b"app.dev.local", [], upgrade=upgrade)


def test_the_sample_key_of_rfc_6455_gives_its_sample_accept() -> None:
    """RFC 6455 1.3."""
    assert make_key(b"the sample nonce") == b"dGhlIHNhbXBsZSBub25jZQ=="
    assert accept_for(b"dGhlIHNhbXBsZSBub25jZQ==") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_a_key_is_made_of_sixteen_octets() -> None:
    with pytest.raises(ValueError, match="16 octets"):
        make_key(b"short")


def test_an_accept_value_proves_that_our_key_was_read() -> None:
    answer = InformationalResponse(1, 101, [(b"Sec-WebSocket-Accept", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")])
    assert accepts_key(answer, b"dGhlIHNhbXBsZSBub25jZQ==")
    assert not accepts_key(answer, b"another")
    assert not accepts_key(InformationalResponse(1, 101, []), b"another")


def test_a_switch_to_websocket_is_a_yes() -> None:
    assert refusal_of(asked(), InformationalResponse(1, 101, SWITCH)) == ""


def test_an_unsolicited_switch_is_refused() -> None:
    assert "without being asked" in refusal_of(asked(b""), InformationalResponse(1, 101, SWITCH))


def test_a_switch_to_another_protocol_is_refused() -> None:
    answer = InformationalResponse(1, 101, [(b"Upgrade", b"h2c"), (b"Connection", b"Upgrade")])
    assert "other than WebSocket" in refusal_of(asked(), answer)


def test_a_switch_without_connection_upgrade_is_refused() -> None:
    assert "Connection" in refusal_of(asked(), InformationalResponse(1, 101, SWITCH[:1]))
