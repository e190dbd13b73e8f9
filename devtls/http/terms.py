"""The terms of an exchange: what is the same for every exchange of one route on one connection.

Owns the policy of a route, the client's connection as it is told to apps, and how long is waited for whom. Values only.
"""

from __future__ import annotations

import msgspec


class ForwardPolicy(msgspec.Struct, frozen=True):
    """How one route edits messages."""

    host: bytes | None = None
    """None keeps the Host that the browser sent; else this one goes to the app."""
    origins: tuple[bytes, ...] = ()
    """Lower-case origins of the upstream itself (`http://127.0.0.1:3000`), which Location and its like are freed of."""
    strip_prefix: bytes = b""
    """`/api`, without a slash at the end."""
    keep_hsts: bool = False
    via: bool = True
    trust_forwarded: bool = False
    cookie_hosts: tuple[bytes, ...] = ()
    """The hosts of the route (`app.dev.local`, `*.app.dev.local`), above which no cookie may reach; () = anywhere."""


class Edge(msgspec.Struct, frozen=True):
    """The client's connection."""

    client_ip: bytes
    scheme: bytes
    port: int
    """The public port of the listener."""
    pseudonym: bytes
    """Our name in Via: random, new in each process."""
    client_cert: tuple[tuple[bytes, bytes], ...] = ()
    """Client-Cert and its like (RFC 9440) for a client that has shown a certificate."""


class ExchangeLimits(msgspec.Struct, frozen=True, gc=False):
    """How long an exchange waits, in seconds."""

    # Long: a breakpoint in the app's debugger holds back its response as long as a person thinks.
    response_head_timeout_s: float = 600.0
    body_idle_timeout_s: float = 60.0
    continue_wait_s: float = 1.0  # as curl waits before it sends its body unasked
    retry_down_s: float = 2.0  # a dev server that restarts listens again within one or two


class Terms(msgspec.Struct, frozen=True, gc=False):
    """What is the same for every exchange of one route on one connection."""

    policy: ForwardPolicy
    edge: Edge
    limits: ExchangeLimits
    retry_down_s: float = 0.0
    """How long a request waits for an app that restarts; the route's own, or that of the limits."""
