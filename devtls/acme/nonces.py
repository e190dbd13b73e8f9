"""Nonces that were given out and not used yet (RFC 8555 6.5).

Owns a bounded number of them: the oldest is forgotten first, and its client is told badNonce and tries again.
"""

from __future__ import annotations

_MOST = 4096


class NonceStore:
    """The nonces of one process; a restart forgets them, which costs each client one more request."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._given: dict[str, None] = {}

    def give(self, nonce: str) -> str:
        """Remember a nonce and return it."""
        self._given[nonce] = None
        if len(self._given) > self._most:
            del self._given[next(iter(self._given))]
        return nonce

    def take(self, nonce: str) -> bool:
        """Say whether a nonce was given out and comes back for the first time."""
        return self._given.pop(nonce, self) is None
