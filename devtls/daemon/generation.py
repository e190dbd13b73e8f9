"""One reading of the configuration and the CA: what every request goes by until the next reload."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import msgspec

from devtls.config import Config, Merged, StaticTarget
from devtls.pki.leaf import Signer
from devtls.routing import ClientAuth, Route, Snapshot

if TYPE_CHECKING:
    from devtls.net.tls.client_auth import ClientPolicy

# Ports are bound once (the right to bind may be gone by now), and contexts fix ALPN.
_FIXED = ("https_port", "http_port", "listen", "redirect", "log_format", "http2")
"""Keys of [serve] that a running proxy cannot change."""


class Generation(msgspec.Struct, frozen=True):
    """A configuration and a CA that fit together."""

    merged: Merged
    authority: Signer
    snapshot: Snapshot
    static_targets: frozenset[StaticTarget]
    policies: Mapping[ClientAuth, ClientPolicy] = {}
    """How clients of routes with `client_auth` are verified."""
    own_count: int = 0
    """How many of the routes are this process's own; those of joined ones stand behind them."""

    @property
    def config(self) -> Config:
        """The configuration."""
        return self.snapshot.config

    @property
    def own_routes(self) -> tuple[Route, ...]:
        """The routes of this process alone."""
        return self.snapshot.routes.routes[: self.own_count]


def needs_restart(begun: Generation, before: Generation, after: Generation) -> str:
    """Return the changed keys that a proxy which runs since `begun` cannot take over, as they are written."""
    first, old, new = (generation.merged.config.serve for generation in (begun, before, after))
    # Against the first as well: a value that was changed back needs no restart.
    changed = (name for name in _FIXED if getattr(new, name) not in (getattr(old, name), getattr(first, name)))
    return ", ".join(f"serve.{name}" for name in changed)


class Site(Protocol):
    """An endpoint that a proxy serves itself, beside its routes: it lives through every reload."""

    async def start(self) -> None:
        """Serve the generation that it was made for."""

    async def replace(self, generation: Generation) -> None:
        """Serve what a reload brought; raises nothing, since the reload has happened."""

    async def close(self) -> None:
        """Stop, and leave nothing behind."""
