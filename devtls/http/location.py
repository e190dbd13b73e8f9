"""The URLs in an answer's head that point back at the app itself: Location, Content-Location, Refresh, Link.

An app behind the proxy believes that it lives at `http://127.0.0.1:3000` (or at `http://` and the public name) and says
so in redirects. Such a URL, and only such a one, is moved to the public origin; its path and query stay byte for byte.
Relative references, foreign origins, and anything with user info or a backslash stay as they are.

With a stripped prefix (`/api`) the prefix is put back in front of the path of a URL that is moved, unless it is there
already (an app that honours X-Forwarded-Prefix). Relative references are left to the app: it was told the prefix.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

_REFRESH = re.compile(rb"""(\A[^;,]*[;,][ \t]*url[ \t]*=[ \t]*["']?)(.*)\Z""", re.IGNORECASE | re.DOTALL)
# Quoted strings come first in the pattern: a `<` inside of one is no target.
_LINK_TARGET = re.compile(rb'"(?:[^"\\]|\\.)*"|<([^>]*)>', re.DOTALL)
# What may follow an origin: `http://127.0.0.1:30001` and `http://127.0.0.1:3000@evil` begin with the same text.
_PATH_STARTS = (b"", b"/", b"?", b"#")


class PublicOrigin(msgspec.Struct, frozen=True):
    """Where the browser sees the app: `url` is `https://app.dev.local:8443`, `prefix` what was stripped."""

    url: bytes
    prefix: bytes
    own: tuple[bytes, ...]
    """Lower-case origins that mean the app itself."""

    def move(self, url: bytes) -> bytes:
        """Return `url` on the public origin when it points at the app itself, else unchanged."""
        folded = url.lower()
        for origin in self.own:
            if folded.startswith(origin) and url[len(origin) : len(origin) + 1] in _PATH_STARTS:
                rest = url[len(origin) :]
                return self.url + (b"" if has_prefix(rest, self.prefix) else self.prefix) + rest
        return url

    def move_refresh(self, value: bytes) -> bytes:
        """Return a Refresh value (`5; url=…`, HTML 4.2.5.3) with its URL moved."""
        found = _REFRESH.match(value)
        if found is None:
            return value
        url = found[2]
        quote = found[1][-1:]
        closing = url.find(quote) if quote in (b'"', b"'") else -1
        if closing < 0:
            return found[1] + self.move(url)
        return found[1] + self.move(url[:closing]) + url[closing:]

    def move_link(self, value: bytes) -> bytes:
        """Return a Link value (RFC 8288 3) with every target moved; quoted parameters stay."""
        return _LINK_TARGET.sub(self._moved_target, value)

    def _moved_target(self, found: re.Match[bytes]) -> bytes:
        target: bytes | None = found[1]
        return found[0] if target is None else b"<" + self.move(target) + b">"


def public_origin(scheme: bytes, authority: bytes, prefix: bytes, origins: Iterable[bytes]) -> PublicOrigin:
    """Return the public origin of a request for `authority`; the same name over plain http counts as the app itself."""
    name = authority[: authority.rfind(b":")] if has_port(authority) else authority
    return PublicOrigin(
        url=scheme + b"://" + authority, prefix=prefix, own=(*origins, b"http://" + authority, b"http://" + name)
    )


def has_port(authority: bytes) -> bool:
    """Say whether a valid host[:port] ends with a port; the colons inside an IPv6 literal are none."""
    return authority.rfind(b":") > authority.rfind(b"]")


def has_prefix(path: bytes, prefix: bytes) -> bool:
    """Say whether `path` lies at or below `prefix`, by whole segments; an empty prefix holds nothing."""
    return bool(prefix) and path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in _PATH_STARTS


def strip_prefix(target: bytes, prefix: bytes) -> bytes:
    """Return a request target without `prefix`: `/api` -> `/`, `/api/x` -> `/x`, `/api?x` -> `/?x`."""
    if not has_prefix(target, prefix):
        return target
    rest = target[len(prefix) :]
    # RFC 9112 3.2.1: an empty path is sent as "/".
    return rest if rest.startswith(b"/") else b"/" + rest
