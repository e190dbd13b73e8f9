"""The URLs in a response's head that point back at the app itself: Location, Content-Location, Refresh, Link.

An app behind the proxy believes that it lives at `http://127.0.0.1:3000`, at `https://localhost:3000` (it believes
X-Forwarded-Proto and knows its own port), or at the public name with its own port or with none, and says so in
redirects. Such a URL, and only such a one, is moved to the public origin; its path and query stay byte for byte.
Relative references, foreign origins, and anything with user info or a backslash stay as they are.

With a stripped prefix (`/api`) the prefix is put back in front of the path of a URL that is moved, unless it is there
already (an app that honours X-Forwarded-Prefix). Relative references are left to the app: it was told the prefix.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv6Address

import msgspec

# RFC 3986 3.2, and no more of it than an app writes for itself: no user info, no percent-encoding. A backslash is a
# slash to browsers (WHATWG URL 4.4), so nothing that has one in its authority is taken for an origin.
_ORIGIN = re.compile(
    rb"(?:(https?):)?//(\[[0-9a-f:.]+\]|[^\[\]/?#@:%\\\x00-\x20\x7f]+)(?::([0-9]*))?(?=[/?#]|\Z)", re.IGNORECASE
)
# HTML 4.2.5.3: a time, then `;`, `,` or a space, then a URL with or without `url=`.
_REFRESH = re.compile(
    rb"""([ \t]*[0-9.]+(?:[ \t]*[;,][ \t]*|[ \t]+)(?:url[ \t]*=[ \t]*)?["']?)(.*)\Z""", re.IGNORECASE | re.DOTALL
)
# RFC 8288 3: a target stands first in its link-value; a `<` anywhere else, in quotes or not, begins none.
_LINK_TARGET = re.compile(rb"([ \t,]*<)([^<>]*)")
_LINK_PARAMETERS = re.compile(rb'>(?:[^",]|"(?:[^"\\]|\\.)*")*,?', re.DOTALL)
# What may follow a prefix: /api does not begin /apis.
_PATH_STARTS = (b"", b"/", b"?", b"#")
_DEFAULT_PORTS = {b"http": 80, b"https": 443}
_LONGEST_PORT = 5
_LOOPBACK = frozenset({b"localhost", b"127.0.0.1", b"[::1]"})
# An app that listens on every address calls itself so.
_UNSPECIFIED = frozenset({b"0.0.0.0", b"[::]"})

_Place = tuple[bytes, int]
"""A host in its one spelling and a port."""


class PublicOrigin(msgspec.Struct, frozen=True):
    """Where the browser sees the app: `url` is `https://app.dev.local:8443`, `prefix` what was stripped."""

    url: bytes
    prefix: bytes
    own: frozenset[_Place]
    """Where the app itself is, whichever scheme it believes to speak."""
    public: frozenset[tuple[bytes, _Place]]
    """The public origin and the same name without its port or over plain http, with their schemes."""

    def move(self, url: bytes) -> bytes:
        """Return `url` on the public origin when it points at the app itself, else unchanged."""
        found = _ORIGIN.match(url)
        if found is None or not self._is_own(found):
            return url
        rest = url[found.end() :]
        return self.url + (b"" if has_prefix(rest, self.prefix) else self.prefix) + rest

    def _is_own(self, found: re.Match[bytes]) -> bool:
        host = _one_spelling(found[2])
        digits = (found[3] or b"").lstrip(b"0")
        if len(digits) > _LONGEST_PORT:
            return False
        # RFC 3986 4.2: without a scheme it is that of the page, and to the app that is plain http.
        for scheme in (found[1].lower(),) if found[1] else (b"https", b"http"):
            place = host, int(digits or b"0") if found[3] else _DEFAULT_PORTS[scheme]
            if place in self.own or (scheme, place) in self.public:
                return True
        return False

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
        """Return a Link value (RFC 8288 3) with every target moved; parameters stay, and what is no link-value."""
        pieces: list[bytes] = []
        place = 0
        while (target := _LINK_TARGET.match(value, place)) is not None:
            pieces += target[1], self.move(target[2])
            place = target.end()
            parameters = _LINK_PARAMETERS.match(value, place)
            if parameters is None or not parameters[0].endswith(b","):
                break
            pieces.append(parameters[0])
            place = parameters.end()
        return b"".join(pieces) + value[place:]


def _one_spelling(host: bytes) -> bytes:
    """Return a host in lower case, without the dot of a full name, an IPv6 address in its shortest form."""
    folded = host.lower()
    if not folded.startswith(b"["):
        return folded.removesuffix(b".")
    try:
        address = IPv6Address(folded[1:-1].decode("ascii"))
    except ValueError:
        return folded
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped).encode("ascii")
    return f"[{address}]".encode("ascii")


def _place(scheme: bytes, authority: bytes) -> _Place:
    name, port = authority, _DEFAULT_PORTS[scheme]
    if has_port(authority):
        name, _, digits = authority.rpartition(b":")
        port = int(digits or port)
    return _one_spelling(name), port


@lru_cache(maxsize=256)  # the same for every response of a route under one name
def public_origin(scheme: bytes, authority: bytes, prefix: bytes, origins: tuple[bytes, ...]) -> PublicOrigin:
    """Return the public origin of a request for `authority`; `origins` are the app's, its own port in each.

    The public name with a port of the app's is the app as well, and so is the same name over plain http, and without a
    port: many an app knows its name and leaves the port out (`"https://" + req.hostname` in Express, nginx's `$host`).
    """
    own: set[_Place] = set()
    for origin in origins:
        written, _, address = origin.partition(b"://")
        own.add(_place(written, address))
        if len(origins) == 1 and not has_port(address):  # a Unix socket: it has no port to tell the schemes apart
            own.update((_one_spelling(address), port) for port in _DEFAULT_PORTS.values())
    name, port = _place(scheme, authority)
    ports = {port for _, port in own}
    if any(host in _LOOPBACK for host, _ in own):
        own.update((host, port) for host in _LOOPBACK | _UNSPECIFIED for port in ports)
    own.update((name, port) for port in ports)
    public = {(b"http", (name, port)), (scheme, (name, port))}
    public.update((each, (name, default)) for each, default in _DEFAULT_PORTS.items())
    return PublicOrigin(
        url=scheme + b"://" + authority,
        prefix=prefix,
        own=frozenset(own),
        public=frozenset(public),
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
