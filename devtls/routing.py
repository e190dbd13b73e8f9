"""The routes: host and path -> Route, and the upstream that each Route dials.

Owns Route, Upstream, the RouteTable, Snapshot, and the rule that SNI and Host must agree. Refuses route names outside
the zones of the CA. Strategy: every host that a route serves is a dict key made when the configuration is read, so
that a request costs one look-up; wildcards cost one more per label, the longest suffix wins; paths are compared by
whole segments, the longest prefix wins. A name that is written in full (`app.dev.local`) beats a short one (`app`)
that would serve the same host.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from functools import lru_cache
from typing import assert_never

import msgspec

from devtls.config import Config, RouteConfig, StaticTarget, TcpTarget, UnixTarget, is_loopback_host
from devtls.config.lines import dotted, visible
from devtls.config.target import DEFAULT_PORTS, SECURE
from devtls.errors import ConfigError, InvalidName
from devtls.http.terms import ForwardPolicy
from devtls.names import (
    LOCALHOST,
    Hostname,
    is_ip_address,
    is_wildcard,
    looks_public,
    meant_zone,
    parse_hostname,
    zone_of,
)

LOCAL_ADDRESSES = ("127.0.0.1", "::1")
"""Both loopback families, in the order to try: most apps listen on the first, Node on either."""

_LOCALHOST_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


class UpstreamTls(msgspec.Struct, frozen=True):
    """How an https or h2 target is verified; `ca_file` None = the system's roots."""

    server_name: str
    ca_file: str | None
    verify: bool


class Upstream(msgspec.Struct, frozen=True):
    """Where to dial, and the pool's key.

    `addresses` are tried in order; () means a Unix socket, or a `host` to be resolved at each dial: then
    `config.is_refused_address` must be asked about every result. `label` is for people.
    """

    addresses: tuple[tuple[str, int], ...]
    host: str
    port: int
    unix_path: str
    tls: UpstreamTls | None
    label: str
    http2: bool = False
    """The app speaks HTTP/2, and nothing else here."""
    unix_real: str = ""
    """What `unix_path` is with its links followed: anything else is not dialled; "" is not checked."""

    def __hash__(self) -> int:
        # The pool looks up each request by this; the generated one hashes every field, 1 us.
        return hash(self.label)


class ClientAuth(msgspec.Struct, frozen=True):
    """The client authentication of a host; `ca_file` None = one of our own CA."""

    required: bool
    ca_file: str | None


class Route(msgspec.Struct, frozen=True):
    """One routed name (in every zone that serves it) and path prefix.

    `hosts` are host names, or `*.name` for everything below a name; `path_prefix` is b"/" or b"/api".
    """

    name: str
    hosts: tuple[str, ...]
    path_prefix: bytes
    upstream: Upstream
    policy: ForwardPolicy
    config: RouteConfig
    client_auth: ClientAuth | None = None
    """The same for every route that may answer for a host."""

    def urls(self, https_port: int) -> tuple[str, ...]:
        """Return the addresses to type into a browser; `*` stays where a wildcard stands."""
        return tuple(self.url(host, https_port) for host in self.hosts)

    def url(self, host: str, https_port: int) -> str:
        """Return the address of one of the hosts."""
        port = "" if https_port == 443 else f":{https_port}"
        path = "" if self.path_prefix == b"/" else self.path_prefix.decode("ascii")
        return f"https://{host}{port}{path}"


class NoRoute(Enum):
    """Why no route answers a request."""

    UNKNOWN = 404
    """No route has this name and path: the list of routes is the answer."""
    MISDIRECTED = 421
    """The Host is not the name that the connection's certificate was made for (RFC 9110 15.5.20)."""


_Paths = tuple[tuple[bytes, Route], ...]
"""The routes of one host: (prefix, route), the longest prefix first."""


class RouteTable(msgspec.Struct, frozen=True, eq=False):
    """All routes of one configuration; made by `build_routes`."""

    routes: tuple[Route, ...] = ()
    _exact: dict[str, _Paths] = {}
    _below: dict[str, _Paths] = {}
    client_auths: frozenset[ClientAuth] = frozenset()

    def match(self, host: str, path: bytes) -> Route | None:
        """Return the route for a lower-case host without a port and a request target, or None."""
        if paths := self._exact.get(host):
            for prefix, route in paths:
                # "/" holds every target, `*` of OPTIONS included, which begins with no slash.
                if len(prefix) == 1 or _holds(prefix, path):
                    return route
        return self._match_wildcard(host, path) if self._below else None

    def _match_wildcard(self, host: str, path: bytes) -> Route | None:
        dot = host.find(".")
        while dot >= 0:
            for prefix, route in self._below.get(host[dot + 1 :], ()):
                if len(prefix) == 1 or _holds(prefix, path):
                    return route
            dot = host.find(".", dot + 1)
        return None

    def serves(self, host: str) -> bool:
        """Say whether any path of `host` is routed (redirects from plain HTTP go to no other names)."""
        # A redirect for any name that is sent would make port 80 an open redirector.
        if host in self._exact:
            return True
        labels = host.split(".")
        return any(".".join(labels[start:]) in self._below for start in range(1, len(labels)))

    def client_auth(self, host: str) -> ClientAuth | None:
        """Return what clients of `host` are asked for; every route that may answer for it says the same."""
        if not self.client_auths:
            return None
        route = next(_answering(host, self._exact, self._below), None)
        return None if route is None else route.client_auth

    def exact_hosts(self) -> frozenset[Hostname]:
        """Return the host names that are written out: their certificates stay in the cache."""
        # Addresses have no SNI: the default leaf serves them.
        return frozenset(Hostname(host) for host in self._exact if not is_ip_address(host))


def _holds(prefix: bytes, path: bytes) -> bool:
    # /api holds /api, /api/x and /api?x, not /apix.
    return path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in (b"", b"/", b"?")


def _answering(host: str, exact: Mapping[str, _Paths], below: Mapping[str, _Paths]) -> Iterator[Route]:
    """Yield every route that may answer for `host`, some path or other: as `RouteTable.match` goes through them.

    `host` may be a wildcard, and stands then for the names below it that nobody has written out.
    """
    labels = host.removeprefix("*.").split(".")
    suffixes = range(0 if is_wildcard(host) else 1, len(labels))
    for paths in (exact.get(host, ()), *(below.get(".".join(labels[start:]), ()) for start in suffixes)):
        for prefix, route in paths:
            yield route
            if len(prefix) == 1:
                return


class Snapshot(msgspec.Struct, frozen=True):
    """One generation of a running system: swapped as a whole at a reload."""

    config: Config
    routes: RouteTable
    zones: tuple[Hostname, ...]


def select(table: RouteTable, *, sni: str | None, authority: bytes, path: bytes) -> Route | NoRoute:
    """Return the route for a request on a TLS connection, or why there is none.

    `sni` is the lower-case name of the ClientHello, `authority` the request's lower-case host[:port]; its port is not
    looked at, because forwarded ports change it. Without SNI only localhost, 127.0.0.1 and ::1 are acceptable hosts.
    """
    host = host_of(authority)
    if sni is None:
        # RFC 6066 3: an IP address is never sent as SNI.
        if host not in _LOCALHOST_NAMES:
            return NoRoute.MISDIRECTED
    # Browsers share one HTTP/2 connection among names of one certificate (RFC 9113 9.1.1): 421 sends them back.
    elif host != sni:
        return NoRoute.MISDIRECTED
    return table.match(host, path) or NoRoute.UNKNOWN


@lru_cache(maxsize=256)  # a connection asks for the same name over and over
def host_of(authority: bytes) -> str:
    """Return the host of a lower-case host[:port], without brackets and without the dot at the end of a full name."""
    # latin-1 never fails: a name that is none is simply not in the table.
    text = authority.decode("latin-1")
    if ":" in text:  # [::1]:443 (RFC 3986 3.2.2)
        text = text[1 : text.find("]")] if text.startswith("[") else text.partition(":")[0]
    return text.removesuffix(".")


def build_routes(
    config: Config, zones: Sequence[Hostname], *, static_sockets: Mapping[StaticTarget, str]
) -> RouteTable:
    """Return the table for `config`; a short name is served in every one of `zones`.

    `static_sockets` gives for each static target the private Unix socket that serves it. Raises ConfigError for a
    name that is outside the zones or grows too long in one.
    """
    # A name in full is more specific than a short one: it takes its host out of the short name's hosts.
    taken = frozenset(route.identity for route in config.routes if not _is_short(route.name, zones))
    routes = tuple(_build_route(route, _hosts(route, zones, taken), config, static_sockets) for route in config.routes)
    exact: dict[str, dict[bytes, Route]] = {}
    below: dict[str, dict[bytes, Route]] = {}
    for route in routes:
        for host in _served_hosts(route):
            table, key = (below, host[2:]) if is_wildcard(host) else (exact, host)
            table.setdefault(key, {})[route.path_prefix] = route
    ours, wild = _longest_first(exact), _longest_first(below)
    for host in (*ours, *(f"*.{name}" for name in wild)):
        _check_one_client_auth(host, tuple(_answering(host, ours, wild)))
    auths = frozenset(route.client_auth for route in routes if route.client_auth is not None)
    return RouteTable(routes, ours, wild, auths)


def _build_route(
    route: RouteConfig, hosts: tuple[str, ...], config: Config, static_sockets: Mapping[StaticTarget, str]
) -> Route:
    return Route(
        route.name,
        hosts,
        route.path_prefix.encode("ascii"),
        _build_upstream(route, static_sockets),
        _build_policy(route, hosts, config),
        route,
        None if route.client_auth == "off" else ClientAuth(route.client_auth == "require", route.client_ca),
    )


def _check_one_client_auth(host: str, routes: Sequence[Route]) -> None:
    """Refuse two answers to one question: the certificate is asked for before the client has named a path."""
    for route in routes:
        if route.client_auth != routes[0].client_auth:
            # The later line of the two is the one that was just added, most likely.
            raise _refused(
                max(route, routes[0], key=lambda one: one.config.line).config,
                f"the routes {routes[0].config.key!r} and {route.config.key!r} both answer for {host} and do not ask "
                "its clients for the same certificate.",
                "Give both the same client_auth and client_ca: TLS knows the name, not yet the path.",
            )


def _longest_first(hosts: dict[str, dict[bytes, Route]]) -> dict[str, _Paths]:
    return {
        host: tuple(sorted(paths.items(), key=lambda item: len(item[0]), reverse=True)) for host, paths in hosts.items()
    }


def _served_hosts(route: Route) -> tuple[str, ...]:
    return (*route.hosts, *LOCAL_ADDRESSES) if route.name == LOCALHOST else route.hosts


def _is_short(name: str, zones: Sequence[Hostname]) -> bool:
    """Say whether a route name stands for one name in every zone.

    `*.test` means the whole zone where `test` is one; an app may well be called test, so `test` is short all the same.
    A name with dots is short, too, as in `fix-ui.web`, unless it lies in a zone or looks like a name in full. What else
    is routed has no part in it: a route that goes must not make another one invalid.
    """
    stem = name.removeprefix("*.")
    if "." in stem:
        return zone_of(stem, zones) is None and not (looks_public(stem) or meant_zone(stem, zones))
    return stem not in (LOCALHOST, *zones) if is_wildcard(name) else name != LOCALHOST


def _build_policy(route: RouteConfig, hosts: tuple[str, ...], config: Config) -> ForwardPolicy:
    prefix = "" if route.path_prefix == "/" else route.path_prefix
    return ForwardPolicy(
        host=_upstream_authority(route) if route.host == "upstream" else None,
        origins=_origins(route),
        strip_prefix=prefix.encode("ascii") if route.strip_prefix else b"",
        keep_hsts=route.hsts == "keep",
        via=route.via,
        trust_forwarded=config.serve.trust_forwarded,
        cookie_hosts=tuple(host.encode("ascii") for host in hosts) if route.cookie_domain == "strip" else (),
    )


def _hosts(route: RouteConfig, zones: Sequence[Hostname], taken: frozenset[tuple[str, str]]) -> tuple[str, ...]:
    star = "*." if is_wildcard(route.name) else ""
    stem = route.name.removeprefix("*.")
    if not _is_short(route.name, zones):
        if zone_of(stem, zones) is None:
            raise _outside(route, stem, zones)
        return (route.name,)
    try:
        hosts = [star + parse_hostname(f"{stem}.{zone}") for zone in zones]
    except InvalidName as error:
        raise _refused(route, str(error), error.hint) from error
    return tuple(host for host in hosts if (host, route.path_prefix) not in taken)


def _outside(route: RouteConfig, stem: str, zones: Sequence[Hostname]) -> ConfigError:
    meant = meant_zone(stem, zones)
    short = f"As a short name, write it in full: {stem}.{zones[0]}."
    new = "A new zone needs a new root: devtls ca renew --zone ZONE"
    return _refused(
        route,
        f"the name {stem} is in none of the CA's zones ({', '.join(zones)}).",
        f"Did you mean {meant}? {short}" if meant else f"{short} {new}",
    )


def _refused(route: RouteConfig, message: str, hint: str) -> ConfigError:
    key = dotted(("routes", route.key)) if route.line else route.key
    return ConfigError(message, source=route.source, key=key, line=route.line, hint=hint)


def _build_upstream(route: RouteConfig, static_sockets: Mapping[StaticTarget, str]) -> Upstream:
    match route.target:
        case TcpTarget() as target:
            return _tcp_upstream(target, route)
        case UnixTarget(path, label, real):
            return Upstream((), "", 0, path, None, label or f"unix:{visible(path)}", unix_real=real)
        case StaticTarget() as target:
            return Upstream((), "", 0, static_sockets[target], None, "static site")
        case unknown:
            assert_never(unknown)


def _tcp_upstream(target: TcpTarget, route: RouteConfig) -> Upstream:
    host = target.host or "localhost"
    addresses: tuple[tuple[str, int], ...] = ()
    if is_ip_address(host):
        addresses = ((host, target.port),)
    elif is_loopback_host(host):
        addresses = tuple((address, target.port) for address in LOCAL_ADDRESSES)
    # The name, not the address: certificates of local apps are made for localhost.
    tls = UpstreamTls(host, route.ca, route.verify) if target.scheme in SECURE else None
    label = _host_port(target.host or LOCAL_ADDRESSES[0], target.port)
    if target.scheme != "http":
        label = f"{target.scheme}://{label}"
    return Upstream(addresses, host, target.port, "", tls, label, target.scheme in ("h2c", "h2"))


def _host_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _upstream_authority(route: RouteConfig) -> bytes:
    if not isinstance(route.target, TcpTarget):
        # A Unix socket has no name; frameworks' host checks take localhost.
        return b"localhost"
    return _authorities(route.target.host or "localhost", route.target)[0]


def _authorities(host: str, target: TcpTarget) -> list[bytes]:
    full = _host_port(host, target.port)
    if target.port != DEFAULT_PORTS[target.scheme]:
        return [full.encode("ascii")]
    # Without the default port first: so browsers write Origin and Host (RFC 6454 6.2).
    return [full.rpartition(":")[0].encode("ascii"), full.encode("ascii")]


def _origins(route: RouteConfig) -> tuple[bytes, ...]:
    match route.target:
        case TcpTarget(scheme, host, _) as target:
            web = "https" if scheme in SECURE else "http"
            # An app redirects to any of its own names; all of them stand for this route.
            hosts = dict.fromkeys([host, "localhost", *LOCAL_ADDRESSES] if is_loopback_host(host) else [host])
            return tuple(
                f"{web}://".encode() + authority for name in hosts if name for authority in _authorities(name, target)
            )
        case UnixTarget():
            return (b"http://localhost",)
        case StaticTarget():
            return ()
        case unknown:
            assert_never(unknown)
