"""The limit of open files and sockets of this process.

Owns raising the soft limit, which many systems set to 1024 for programs that use select(): devtls does not, and two
connections per browser connection go a long way. Refuses to ask for more than the hard limit.
"""

from __future__ import annotations

import sys

ENOUGH = 16384
"""For max_connections in the thousands, twice; more costs nothing but would hide a leak for longer."""
RESERVE = 2048
"""For everything but clients and their connections to apps."""

if sys.platform == "win32":

    def descriptor_limit() -> int | None:
        """Return None: there is no such limit."""
        return None

    def raise_descriptor_limit(wanted: int = ENOUGH) -> int | None:
        """Return None: there is no such limit."""
        return None
else:
    import resource

    def descriptor_limit() -> int | None:
        """Return how many files this process may have open; None where there is no such limit."""
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return None if soft == resource.RLIM_INFINITY else soft

    def raise_descriptor_limit(wanted: int = ENOUGH) -> int | None:
        """Raise the soft limit towards `wanted` and return what holds now; None where there is no such limit."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        if soft == resource.RLIM_INFINITY or soft >= wanted:
            return soft
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):  # macOS has a second, lower limit (kern.maxfilesperproc)
            return soft
        return wanted
