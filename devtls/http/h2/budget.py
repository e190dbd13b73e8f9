"""How much of a nuisance a peer may be: a budget that resets and the like take from and that time refills.

Owns the arithmetic of a token bucket; what is counted, the endpoint says (RFC 9113 10.5, CVE-2023-44487,
CVE-2025-8671).
"""

from __future__ import annotations


class Budget:
    """`size` at once, `per_s` more each second; seconds are those of the caller's clock."""

    __slots__ = ("_left", "_per_s", "_seen_s", "_size")

    def __init__(self, size: float, per_s: float) -> None:
        self._size = size
        self._per_s = per_s
        self._left = size
        self._seen_s: float | None = None

    def take(self, now_s: float) -> bool:
        """Take one; False when nothing is left."""
        if self._seen_s is not None:
            self._left = min(self._size, self._left + (now_s - self._seen_s) * self._per_s)
        self._seen_s = now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True
