from devtls.http.events import Headers, InformationalResponse, Request
from devtls.http.upgrade import refusal_of

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
