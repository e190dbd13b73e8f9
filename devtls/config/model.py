"""The configuration as plain values: what `devtls.toml` and the command line can say, with the defaults.

Owns the values' shape, the defaults and the ranges of the limits. Refuses nothing itself: `toml` and `target` build
these values and check them. Everything is frozen and comparable, so a reload can tell what changed. msgspec structs,
because each dataclass would cost every start 0.6 ms, a struct 0.03.
"""

from __future__ import annotations

from typing import Literal

import msgspec

LogFormat = Literal["text", "json"]
Scheme = Literal["http", "https", "h2c", "h2"]
"""`h2c` is HTTP/2 without TLS, by prior knowledge (RFC 9113 3.3); `h2` HTTP/2 over TLS."""
HostPolicy = Literal["keep", "upstream"]
HstsPolicy = Literal["strip", "keep"]
CookieDomainPolicy = Literal["keep", "strip"]
ClientAuthMode = Literal["off", "request", "require"]

COMMAND_LINE = "command line"
"""The `source` of what `devtls serve` was given."""

ACME_ROUTE = "acme"
"""The route name that is the ACME server's while there is one."""

TEMPORARY = "devtls add"
"""The `source` of a route that a running proxy was given for this run."""


class TcpTarget(msgspec.Struct, frozen=True):
    """An app behind a TCP port; `host` is "" for a bare port (both loopback families), else an IP address or a name."""

    scheme: Scheme
    host: str
    port: int


class UnixTarget(msgspec.Struct, frozen=True):
    """An app behind a Unix socket; `path` is absolute when the directory it counts from was.

    `label` is what people read in the place of the path; only routes of our own have one. `real` is `path` with its
    links followed, as it was when the route was permitted; "" is not checked.
    """

    path: str
    label: str = ""
    real: str = ""


class StaticTarget(msgspec.Struct, frozen=True):
    """A directory of files that devtls serves itself.

    `root` is `directory` with its links followed, as it was when the route was permitted; "" until then.
    """

    directory: str
    dotfiles: bool = False
    spa: bool = False
    listing: bool = False
    root: str = ""


Target = TcpTarget | UnixTarget | StaticTarget


class RouteConfig(msgspec.Struct, frozen=True, eq=False):
    """One line of `[routes]`, or one argument of `devtls serve`.

    `name` is a normalised host name or `*.name`, short (`app`) or with its zone (`app.dev.local`); `path_prefix` is "/"
    or "/api" without a slash at its end; `key` is what was written; `line` counts from 1 (0 = not from a file).
    """

    name: str
    path_prefix: str
    target: Target
    allow_remote: bool = False
    host: HostPolicy = "keep"
    ca: str | None = None
    verify: bool = True
    hsts: HstsPolicy = "strip"
    strip_prefix: bool = False
    via: bool = True
    cookie_domain: CookieDomainPolicy = "keep"
    retry_down_s: float | None = None
    """None is what `[limits]` says."""
    client_auth: ClientAuthMode = "off"
    client_ca: str | None = None
    """PEM file with the CA of clients; None is our own."""
    key: str = ""
    line: int = 0
    source: str = COMMAND_LINE

    def __eq__(self, other: object) -> bool:
        # Where and how a route was written makes it no other route.
        return isinstance(other, RouteConfig) and self._meaning == other._meaning

    def __hash__(self) -> int:
        return hash(self._meaning)

    @property
    def _meaning(self) -> tuple[object, ...]:
        switches = (self.allow_remote, self.verify, self.strip_prefix, self.via)
        clients = (self.client_auth, self.client_ca)
        policies = (self.hsts, self.cookie_domain, self.retry_down_s)
        return *self.identity, self.target, self.host, self.ca, *policies, *switches, *clients

    @property
    def identity(self) -> tuple[str, str]:
        """Name and path prefix, which only one route may have."""
        return self.name, self.path_prefix


class ServeConfig(msgspec.Struct, frozen=True):
    """The `[serve]` section; a port of None means the usual one (443 or 8443, 80), 0 any free one."""

    https_port: int | None = None
    http_port: int | None = None
    listen: tuple[str, ...] = ()
    """Loopback addresses to listen on; () = 127.0.0.1 and, where there is IPv6, ::1."""
    redirect: bool = True
    log_format: LogFormat = "text"
    http2: bool = True
    trust_forwarded: bool = False


class DnsConfig(msgspec.Struct, frozen=True):
    """The `[dns]` section; port 0 is any free one."""

    enabled: bool = True
    port: int = 15353
    """Any high port; 5353 is mDNS."""


class PacConfig(msgspec.Struct, frozen=True):
    """The `[pac]` section; port 0 is any free one."""

    enabled: bool = True
    port: int = 15354


class CaConfig(msgspec.Struct, frozen=True):
    """The `[ca]` section."""

    ocsp: bool = False
    """Certificates say where their status can be asked."""


PortByName = tuple[str, int]
"""A name, `*.name` or `*`, and a port of this machine."""


class AcmeConfig(msgspec.Struct, frozen=True):
    """The `[acme]` section; `line` is where it is switched on (0 = not from a file)."""

    enabled: bool = False
    http_port: tuple[PortByName, ...] = ()
    """Where http-01 is looked for, by name; for others: our own port for plain HTTP, or 80."""
    tls_port: tuple[PortByName, ...] = ()
    """Where tls-alpn-01 is looked for, by name; for others there is none."""
    eab: tuple[tuple[str, bytes], ...] = ()
    """Keys of external accounts, by name; with any, every account needs one."""
    line: int = 0


class LimitsConfig(msgspec.Struct, frozen=True):
    """The `[limits]` section: seconds end in `_s`, bytes in `_bytes`, the rest are counts."""

    handshake_timeout_s: float = 10.0
    """From accept to the end of the TLS handshake."""
    head_timeout_s: float = 10.0
    """From the first byte of a request head to its last; absolute, a slow trickle does not extend it."""
    keep_alive_s: float = 75.0
    """How long a client's idle connection is kept."""
    body_idle_timeout_s: float = 60.0
    """A body that is awaited and makes no progress for so long is given up."""
    connect_timeout_s: float = 5.0
    response_head_timeout_s: float = 600.0
    """How long an app may think: a developer may sit at a breakpoint."""
    retry_down_s: float = 2.0
    """How long a request waits for an app that answered a moment ago and refuses connections now: it restarts."""
    continue_wait_s: float = 1.0
    """We answer `Expect: 100-continue` ourselves when the app was silent for so long."""
    shutdown_grace_s: float = 5.0
    tunnel_idle_timeout_s: float = 3600.0
    half_close_grace_s: float = 5.0
    """How long one direction of a tunnel may go on after the other has ended."""
    upstream_idle_s: float = 4.0
    """Below Node's 5 s keep-alive, so that the app is not the first to close."""
    linger_s: float = 2.0
    """After an early answer the rest of the upload is read for so long, so that no RST destroys the answer."""
    max_head_bytes: int = 65_536
    max_target_bytes: int = 16_384
    max_fields: int = 256
    max_response_head_bytes: int = 262_144
    """Debug toolbars and error pages put much into fields; Chromium takes no more."""
    max_response_fields: int = 1_000
    max_buffer_bytes: int = 262_144
    """The most bytes that wait in memory per direction before reading pauses."""
    max_drain_bytes: int = 67_108_864
    """An upload is read and dropped so far behind an early response: most clients send all before they read."""
    max_informational: int = 100
    """Interim responses (1xx) per request."""
    max_connections: int = 1_000
    max_streams: int = 128
    """Requests at once on one HTTP/2 connection of a client."""


LIMIT_RANGES: dict[str, tuple[float, float]] = {
    "handshake_timeout_s": (0.1, 300),
    "head_timeout_s": (0.1, 300),
    "keep_alive_s": (0.1, 3_600),
    "body_idle_timeout_s": (0.1, 86_400),
    "connect_timeout_s": (0.1, 300),
    "response_head_timeout_s": (0.1, 86_400),
    "retry_down_s": (0.0, 60),
    "continue_wait_s": (0.0, 60),
    "shutdown_grace_s": (0.0, 300),
    "tunnel_idle_timeout_s": (1, 604_800),
    "half_close_grace_s": (0.0, 3_600),
    "upstream_idle_s": (0.1, 600),
    "linger_s": (0.0, 30),
    "max_head_bytes": (8_192, 1_048_576),
    "max_target_bytes": (1_024, 65_536),
    "max_fields": (32, 4_096),
    "max_response_head_bytes": (8_192, 4_194_304),
    "max_response_fields": (32, 16_384),
    "max_buffer_bytes": (16_384, 4_194_304),
    "max_drain_bytes": (0, 1_073_741_824),
    "max_informational": (1, 10_000),
    "max_connections": (1, 100_000),
    "max_streams": (1, 1_000),
}
"""The sensible range of each limit, both ends included."""


class Config(msgspec.Struct, frozen=True):
    """One whole configuration; `source` is the file's path, or "command line" when there is none."""

    serve: ServeConfig = ServeConfig()
    limits: LimitsConfig = LimitsConfig()
    routes: tuple[RouteConfig, ...] = ()
    source: str = COMMAND_LINE
    dns: DnsConfig = DnsConfig()
    pac: PacConfig = PacConfig()
    ca: CaConfig = CaConfig()
    acme: AcmeConfig = AcmeConfig()
    written: tuple[str, ...] = ()
    """The settings that the file has, such as "serve.http2", whatever their values; sorted."""


class Merged(msgspec.Struct, frozen=True):
    """File and arguments together; `overridden` are the file's keys that an argument replaced."""

    config: Config
    overridden: tuple[str, ...]
