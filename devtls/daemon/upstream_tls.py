"""TLS contexts for https and h2 targets, made when a configuration is read: loading the system's roots takes 20 ms.

Owns one context per way of verifying, the same under every Python. Refuses a `ca` file that cannot be used while the
configuration is read, not at the first request.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable

from devtls.errors import ConfigError
from devtls.routing import Route, Upstream, UpstreamTls

_Verification = tuple[str | None, bool, bool]


class ClientContexts:
    """Contexts by way of verifying; `prepare` may block, calling it does not."""

    def __init__(self) -> None:
        self._contexts: dict[_Verification, ssl.SSLContext] = {}

    def prepare(self, routes: Iterable[Route]) -> None:
        """Make what `routes` need. Raises ConfigError."""
        for route in routes:
            tls = route.upstream.tls
            if tls is not None:
                # Made anew at each reload, so that a `ca` file that was written again counts.
                self._contexts[_verification(route.upstream)] = _make(tls, route)

    def __call__(self, upstream: Upstream) -> ssl.SSLContext:
        """Return the context for an upstream that speaks TLS."""
        assert upstream.tls is not None  # noqa: S101 - net asks for no others
        return self._contexts[_verification(upstream)]


def _verification(upstream: Upstream) -> _Verification:
    assert upstream.tls is not None  # noqa: S101 - asked for no others
    return upstream.tls.ca_file, upstream.tls.verify, upstream.http2


def _make(tls: UpstreamTls, route: Route) -> ssl.SSLContext:
    try:
        # cafile alone counts when it is given: the system's roots are not loaded besides.
        context = ssl.create_default_context(cafile=tls.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"the certificate file {tls.ca_file} cannot be used: {error.strerror or error}.",
            source=route.config.source,
            key=f"routes.{route.config.key}.ca" if route.config.line else route.config.key,
            line=route.config.line,
            hint="Name a PEM file with the CA of the target.",
        ) from error
    # Python 3.13 began to refuse what browsers take: an app's or a company's root without a key identifier or a key
    # usage (X509_V_FLAG_X509_STRICT); and to take what they take: an intermediate as an anchor.
    flags = context.verify_flags | ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags = flags & ~ssl.VerifyFlags.VERIFY_X509_STRICT
    if not tls.verify:
        # Before verify_mode: ssl refuses CERT_NONE while names are checked.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    # One protocol only: the pool has to know what it will speak before it dials (RFC 9113 3.2).
    context.set_alpn_protocols(["h2" if route.upstream.http2 else "http/1.1"])
    return context
