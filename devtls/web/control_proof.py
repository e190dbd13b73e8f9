"""Proof of a token that is never sent: the server's for the client's nonce, then the client's for each request.

Owns what is proven, and that a question counts once and for seconds only. Whoever listens on a port in the place of a
proxy that was killed learns nothing that it could use, and whoever asks without the token gets nothing. HMAC-SHA-256
(RFC 2104) over fields that hold no line end.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable
from hashlib import sha256
from typing import NamedTuple

PROOF_PATH = "/v1/proof"
NONCE_FIELD, PROOF_FIELD = "Devtls-Nonce", "Devtls-Proof"
_NONCE_BYTES = 16
# Anybody on this machine may ask for nonces, so their memory has to end.
_MOST_OPEN = 64
# Seconds between two requests on one connection.
_LIFE_S = 10.0


class ControlRequest(NamedTuple):
    """One request to a control port, as a proof covers it."""

    method: str
    path: str
    body: bytes


def new_nonce() -> str:
    """Return a question that nobody asked before: 32 hexadecimal digits."""
    return os.urandom(_NONCE_BYTES).hex()


def proof_of_server(token: bytes, port: int, asked: str, given: str) -> str:
    """Return what a server answers to the client's nonce `asked`, with the nonce `given` for the next request."""
    return _mac(token, "server", str(port), asked, given)


def proof_of_client(token: bytes, port: int, given: str, asked: ControlRequest) -> str:
    """Return what a client sends along with one request, for the nonce that the server has `given`."""
    return _mac(token, "client", str(port), given, asked.method, asked.path, sha256(asked.body).hexdigest())


def _mac(token: bytes, *fields: str) -> str:
    # The side's name is the first field: a server's proof can never be sent back as a client's.
    return hmac.digest(token, "\n".join(fields).encode(), "sha256").hex()


class Nonces:
    """The nonces that a server has given and that nobody used yet; the oldest of too many are forgotten."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._open: dict[str, float] = {}

    def give(self) -> str:
        """Return a nonce for one request."""
        while len(self._open) >= _MOST_OPEN:
            # A dict keeps the order of insertion: the first is the oldest.
            del self._open[next(iter(self._open))]
        nonce = new_nonce()
        self._open[nonce] = self._monotonic() + _LIFE_S
        return nonce

    def take(self, nonce: str) -> bool:
        """Say whether a request may use `nonce`; nobody else can from now on."""
        # pop, not get: a request that is sent again finds nothing.
        return self._open.pop(nonce, float("-inf")) >= self._monotonic()
