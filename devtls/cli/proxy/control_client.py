"""One request to a running proxy over its control channel.

Owns the client's half of both ways: a Unix socket whose peer the kernel names, and a port whose server proves to know
the token before anything is asked of it.
"""

from __future__ import annotations

import hmac
import http.client
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING

from devtls.errors import NotRunning
from devtls.system.control.port import ControlPort
from devtls.web.control_proof import (
    NONCE_FIELD,
    PROOF_FIELD,
    PROOF_PATH,
    Asked,
    new_nonce,
    proof_of_client,
    proof_of_server,
)

if TYPE_CHECKING:
    from devtls.system.control.channel import Place

_TIMEOUT_S = 10.0
"""A status takes a second at most; a machine that has just woken up, a little more."""


class _Connection(http.client.HTTPConnection):
    def __init__(self, place: Place) -> None:
        host, port = ("127.0.0.1", place.port) if isinstance(place, ControlPort) else ("devtls", None)
        super().__init__(host, port, timeout=_TIMEOUT_S)
        self._place = place

    def connect(self) -> None:
        self.sock: socket.socket = self._place.connect(_TIMEOUT_S)


def send(place: Place, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
    """Return status and content of an answer. Raises NotRunning for a stranger on the port, OSError, HTTPException."""
    connection = _Connection(place)
    headers = {"Content-Type": "application/json"}
    try:
        asked = Asked(method, path, body or b"")
        proof = _introduce(connection, place, asked) if isinstance(place, ControlPort) else {}
        connection.request(method, path, body, {**headers, **proof, "Connection": "close"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _introduce(connection: _Connection, place: ControlPort, asked: Asked) -> Mapping[str, str]:
    """Have the server prove itself, and return what proves us; raises NotRunning when it is somebody else."""
    nonce = new_nonce()
    connection.request("GET", PROOF_PATH, headers={NONCE_FIELD: nonce})
    answer = connection.getresponse()
    answer.read()
    given, proof = answer.headers.get(NONCE_FIELD, ""), answer.headers.get(PROOF_FIELD, "")
    wanted = proof_of_server(place.token, place.port, nonce, given)
    if not hmac.compare_digest(wanted.encode(), proof.encode("utf-8", "replace")):
        raise NotRunning("Somebody else has the port of a devtls serve that ended.", hint="devtls serve app=3000")
    return {NONCE_FIELD: given, PROOF_FIELD: proof_of_client(place.token, place.port, given, asked)}
