"""The source of the configuration: a file, arguments and flags; read again at each reload.

Owns how the three add up: routes of the command line win over the file's, flags win over `[serve]`. Refuses what the
file may not do without `devtls allow`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from devtls.config import Config, Merged, RouteConfig, merge
from devtls.system.machine.paths import Paths
from devtls.system.storage.allowlist import check_private_sockets, pin_links
from devtls.system.storage.config_discovery import Found, load_config


class Source(msgspec.Struct, frozen=True):
    """Where the configuration comes from; `flags` are fields of ServeConfig."""

    paths: Paths
    found: Found | None = None
    arguments: tuple[RouteConfig, ...] = ()
    flags: Mapping[str, Any] = {}
    temporary: tuple[RouteConfig, ...] = ()
    """Routes that a running proxy was given for this run; they win over all others."""
    demo: bool = False
    """The sample app of `devtls demo`."""
    trust_command: str = "devtls trust"
    """The command after which browsers trust the CA."""

    def read(self) -> Merged:
        """Return the whole configuration as it is now; blocks. Raises ConfigError, NotAllowed."""
        file = Config() if self.found is None else load_config(self.found, self.paths)
        merged = merge(file, self.arguments)
        if self.temporary:
            merged = replace(merged, config=merge(merged.config, self.temporary).config)
        # Flags last, and at each reload again: what was typed holds for the whole run.
        config = replace(pin_links(merged.config), serve=replace(merged.config.serve, **self.flags))
        # After all three are joined: a route of the command line may not publish the CA's key either.
        check_private_sockets(config, self.paths)
        return replace(merged, config=config)
