"""Configuration: `devtls.toml` and the arguments of `devtls serve` as frozen values.

`model` holds the values, `toml` reads the file, `route` a route and how file and command line add up, `target` the
spelling of targets and addresses, `lines` finds keys for error messages, `allowance` says what a file needs `devtls
allow` for. `edit` writes routes into a file; it is loaded by whoever does that.
"""

from devtls.config.allowance import AllowanceReason, needs_allow, private_routes
from devtls.config.model import (
    ACME_ROUTE,
    COMMAND_LINE,
    LIMIT_RANGES,
    TEMPORARY,
    AcmeConfig,
    CaConfig,
    Config,
    DnsConfig,
    LimitsConfig,
    Merged,
    PacConfig,
    RouteConfig,
    ServeConfig,
    StaticTarget,
    Target,
    TcpTarget,
    UnixTarget,
)
from devtls.config.route import merge, parse_identity, parse_route_argument, parse_route_value
from devtls.config.target import is_loopback_host, is_refused_address
from devtls.config.toml import MAX_FILE_BYTES, parse_ca_section, parse_config, parse_listen_arguments

__all__ = [
    "ACME_ROUTE",
    "COMMAND_LINE",
    "LIMIT_RANGES",
    "MAX_FILE_BYTES",
    "TEMPORARY",
    "AcmeConfig",
    "AllowanceReason",
    "CaConfig",
    "Config",
    "DnsConfig",
    "LimitsConfig",
    "Merged",
    "PacConfig",
    "RouteConfig",
    "ServeConfig",
    "StaticTarget",
    "Target",
    "TcpTarget",
    "UnixTarget",
    "is_loopback_host",
    "is_refused_address",
    "merge",
    "needs_allow",
    "parse_ca_section",
    "parse_config",
    "parse_identity",
    "parse_listen_arguments",
    "parse_route_argument",
    "parse_route_value",
    "private_routes",
]
