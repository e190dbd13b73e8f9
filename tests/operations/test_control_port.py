"""The client's half of a control port: a stranger there learns nothing, and is passed over."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from devtls.errors import NotRunning
from devtls.operations.control import exchange, find_running
from devtls.system.control import channel as control_channel
from devtls.system.control.port import ControlPort, open_control_port
from devtls.system.machine.paths import Paths
from devtls.web.control_proof import NONCE_FIELD, PROOF_FIELD
from tests.operations.recording import RecordingReporter


class Stranger:
    """Somebody who got the port of a proxy that was killed, and notes what is said to it."""

    def __init__(self, port: int, answer: bytes) -> None:
        self.heard = b""
        self._answer = answer
        self._listening = socket.create_server(("127.0.0.1", port))
        self._listening.settimeout(10)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        client, _ = self._listening.accept()
        with client:
            client.settimeout(10)
            while b"\r\n\r\n" not in self.heard:
                self.heard += client.recv(65536)
            client.sendall(self._answer)
            while data := client.recv(65536):
                self.heard += data

    def end(self) -> None:
        self._thread.join()
        self._listening.close()


@pytest.fixture
def place(home: Path) -> ControlPort:
    """The channel of a proxy that was killed."""
    made, listening = open_control_port(Paths.from_environment().runtime_dir)
    listening.close()
    return made


@pytest.fixture(params=[b"", b"%s: %s\r\n%s: %s\r\n"])
def stranger(request: pytest.FixtureRequest, place: ControlPort) -> Iterator[Stranger]:
    fields = request.param and request.param % (NONCE_FIELD.encode(), b"1" * 32, PROOF_FIELD.encode(), b"2" * 64)
    made = Stranger(place.port, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + fields + b"\r\n")
    yield made
    made.end()


def test_a_stranger_learns_nothing(place: ControlPort, stranger: Stranger) -> None:
    with pytest.raises(NotRunning, match="Another program has the port"):
        exchange(place, "POST", "/v1/stop", b'{"now": true}')
    stranger.end()
    assert stranger.heard.startswith(b"GET /v1/proof HTTP/1.1\r\n")
    for secret in (place.token.hex().encode(), place.token, b"stop", b"now", PROOF_FIELD.encode()):
        assert secret not in stranger.heard


def test_commands_pass_it_over(
    place: ControlPort,
    stranger: Stranger,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(control_channel, "uses_ports", lambda: True)
    reporter = RecordingReporter()
    assert find_running(Paths.from_environment(), reporter) == []
    assert reporter == RecordingReporter()


def test_nobody_on_the_port_is_nobody_who_runs(place: ControlPort, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_channel, "uses_ports", lambda: True)
    reporter = RecordingReporter()
    assert find_running(Paths.from_environment(), reporter) == []
    assert reporter == RecordingReporter()
