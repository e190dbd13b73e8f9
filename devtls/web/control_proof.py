"""Proof of a token that is never sent: the server's for the client's nonce, then the client's for each request.

Owns what is proven, and that a question counts once and for seconds only. Whoever listens on a port in the place of a
proxy that was killed learns nothing that it could use, and whoever asks without the token gets nothing; no flood of
questions costs memory or pushes out another's. HMAC-SHA-256 (RFC 2104) over fields that hold no line end.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable
from hashlib import sha256
from typing import NamedTuple

PROOF_PATH = "/v1/proof"
NONCE_FIELD, PROOF_FIELD, DIGEST_FIELD = "Devtls-Nonce", "Devtls-Proof", "Devtls-Digest"
_NONCE_BYTES = 16
_TIME_BYTES = 8
_MAC_BYTES = 16
# Seconds between two requests on one connection.
_LIFE_S = 10.0


class ControlRequest(NamedTuple):
    """One request to a control port, as a proof covers it."""

    method: str
    path: str
    body: bytes


def digest_of(body: bytes) -> str:
    """Return what stands for a body in a proof: it is checked before the body is read."""
    return sha256(body).hexdigest()


def new_nonce() -> str:
    """Return a question that nobody asked before: 32 hexadecimal digits."""
    return os.urandom(_NONCE_BYTES).hex()


def proof_of_server(token: bytes, port: int, asked: str, given: str) -> str:
    """Return what a server answers to the client's nonce `asked`, with the nonce `given` for the next request."""
    return _mac(token, "server", str(port), asked, given)


def proof_of_client(token: bytes, port: int, given: str, asked: ControlRequest) -> str:
    """Return what a client sends along with one request, for the nonce that the server has `given`."""
    return proof_of_head(token, port, given, (asked.method, asked.path, digest_of(asked.body)))


def proof_of_head(token: bytes, port: int, given: str, head: tuple[str, str, str]) -> str:
    """Return the same for a method, a path and the digest of a body that need not be here yet."""
    return _mac(token, "client", str(port), given, *head)


def _mac(token: bytes, *fields: str) -> str:
    # The side's name is the first field: a server's proof can never be sent back as a client's.
    return hmac.digest(token, "\n".join(fields).encode(), "sha256").hex()


class Nonces:
    """The nonces of one server: each holds its own end and our seal, so none has to be remembered until it is used."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._key = os.urandom(32)
        self._used: dict[str, int] = {}
        """Nonce -> its end. Only who knows the token gets one in here."""

    def give(self) -> str:
        """Return a nonce for one request."""
        content = self._milliseconds(_LIFE_S).to_bytes(_TIME_BYTES, "big") + os.urandom(_NONCE_BYTES)
        return (content + self._seal(content)).hex()

    def take(self, nonce: str) -> bool:
        """Say whether a request that was proven may use `nonce`; nobody else can from now on."""
        try:
            given = bytes.fromhex(nonce)
        except ValueError:
            return False
        content, seal = given[:-_MAC_BYTES], given[-_MAC_BYTES:]
        # The canonical spelling alone: another one of the same bytes would count as unused.
        if nonce != given.hex() or not hmac.compare_digest(seal, self._seal(content)):
            return False
        end, now = int.from_bytes(content[:_TIME_BYTES], "big"), self._milliseconds(0.0)
        self._used = {used: until for used, until in self._used.items() if until >= now}
        if end < now or nonce in self._used:
            return False
        self._used[nonce] = end
        return True

    def _milliseconds(self, after_s: float) -> int:
        return int((self._monotonic() + after_s) * 1000)

    def _seal(self, content: bytes) -> bytes:
        return hmac.digest(self._key, content, "sha256")[:_MAC_BYTES]
