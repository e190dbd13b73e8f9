"""base64url without padding (RFC 7515 2), and random tokens that are derived from a seed.

Owns both directions. Refuses padding, other alphabets and stray characters, which Python's own decoder skips.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256

from devtls.acme.problems import refusal

_ALPHABET = re.compile(r"[A-Za-z0-9_-]*\Z")
_TOKEN_BYTES = 24  # RFC 8555 8.3 asks for 128 bits at least


def to_text(content: bytes) -> str:
    """Return bytes as base64url."""
    return urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


def from_text(text: str, what: str) -> bytes:
    """Return the bytes that `text` stands for. Raises AcmeProblem, which names `what` it is."""
    # One character left over holds six bits, which is no byte.
    if not _ALPHABET.match(text) or len(text) % 4 == 1:
        raise refusal("malformed", f"The {what} is not base64url without padding.")
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


class SeededTokens:
    """Random tokens for one request, derived from a seed of 32 random bytes."""

    def __init__(self, seed: bytes) -> None:
        self._seed = seed
        self._rolled = 0

    def token(self) -> str:
        """Return another token, fit for a URL."""
        self._rolled += 1
        return to_text(sha256(self._seed + self._rolled.to_bytes(4, "big")).digest()[:_TOKEN_BYTES])
