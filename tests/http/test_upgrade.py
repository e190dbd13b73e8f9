from devtls.http.events import Headers, InformationalResponse, Request
from devtls.http.upgrade import accept_of, refusal_of

SWITCH: Headers = [(b"upgrade", b"WebSocket"), (b"connection", b"keep-alive, Upgrade")]


def asked(upgrade: bytes = b"websocket") -> Request:
    return Request(1, b"GET", b"/ws", b"app.dev.local", [], upgrade=upgrade)


def test_a_switch_to_websocket_is_a_yes() -> None:
    assert refusal_of(asked(), InformationalResponse(1, 101, SWITCH)) == ""


def test_an_unsolicited_switch_is_refused() -> None:
    assert "without being asked" in refusal_of(asked(b""), InformationalResponse(1, 101, SWITCH))


def test_a_switch_to_another_protocol_is_refused() -> None:
    answer = InformationalResponse(1, 101, [(b"Upgrade", b"h2c"), (b"Connection", b"Upgrade")])
    assert "other than WebSocket" in refusal_of(asked(), answer)


def test_a_switch_without_connection_upgrade_is_refused() -> None:
    assert "Connection" in refusal_of(asked(), InformationalResponse(1, 101, SWITCH[:1]))


def test_the_accept_value_is_that_of_the_rfc() -> None:
    # RFC 6455 1.3
    assert accept_of([(b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ==")]) == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_a_key_of_our_own_is_answered_or_refused() -> None:
    request = asked()
    request.websocket_key = b"dGhlIHNhbXBsZSBub25jZQ=="
    good = (b"Sec-WebSocket-Accept", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    assert refusal_of(request, InformationalResponse(1, 101, [*SWITCH, good])) == ""
    for wrong in ([], [(b"Sec-WebSocket-Accept", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOO=")]):
        assert "Sec-WebSocket-Accept" in refusal_of(request, InformationalResponse(1, 101, [*SWITCH, *wrong]))
