"""The zones that are answered, and the addresses in the answers.

Stands alone so that whoever holds the zones need not load dnspython.
"""

from __future__ import annotations

import msgspec

from devtls.names import Hostname


class Zones(msgspec.Struct, frozen=True):
    """The zones, and where the proxy listens; a family without a listener has no address."""

    names: tuple[Hostname, ...]
    ipv4: str | None = "127.0.0.1"
    ipv6: str | None = "::1"
