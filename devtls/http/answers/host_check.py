"""Recognising that an app refused the request because of its host name, and the line that makes it accept the name.

Development servers guard against DNS rebinding by a list of allowed names, and a name that is new to them is answered
with a bare 400 or 403. Owns the table of those answers, each read in the framework's source. Refuses to guess: an
answer that any app could give (Django's page without DEBUG, an empty 403) is not recognised, nor is a compressed body.

What works without touching the app differs, and the table says so. Next.js and Django's CSRF check look at Origin,
which the browser sets; Rails also looks at X-Forwarded-Host: for those `host = "upstream"` changes nothing.
"""

from __future__ import annotations

import re

import msgspec

SNIFF_BYTES = 8192
"""How much of a body is enough: Rails writes 6.5 KB of style sheet before the sentence that matters."""

STATUSES = frozenset({400, 403})
"""Other answers need no look at their body."""


class HostCheck(msgspec.Struct, frozen=True):
    """One framework's way to refuse a name; `{host}` in `line` stands for that name."""

    framework: str
    file: str
    line: str
    localhost_works: bool = True
    upstream_works: bool = True

    def hint(self, host: str, localhost: str = "") -> str:
        """Return what to add where for `host`, and what works without it; `localhost` is the route's other name."""
        alternative = localhost or host.partition(".")[0] + ".localhost"
        now = [f"https://{alternative}"] if self.localhost_works else []
        if self.upstream_works:
            now.append('`host = "upstream"` on the route')
        text = f"{self.framework} refuses the name {host}. Add to {self.file}: {self.line.replace('{host}', host)}"
        return f"{text} (works now without it: {', or '.join(now)})" if now else text


class _ResponsePattern(msgspec.Struct, frozen=True):
    """How a response is recognised: its status, the patterns of its Content-Type and its body.

    `re` compiles a pattern when it is first searched for: compiling all of them at import took 1 ms of each start.
    """

    status: int
    content_type: bytes
    body: bytes
    check: HostCheck


_ANY_TYPE = rb""
_NO_TYPE = rb"\Z"
"""Node's bare `res.end(text)`: what tells Next's "Unauthorized" from that of an app that answers on purpose."""
_HTML = rb"(?i)text/html"
_TEXT = rb"(?i)text/plain"

_PROXY_SSL = 'SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")'

_NEXT = HostCheck("Next.js", "next.config.js", 'allowedDevOrigins: ["{host}"]', upstream_works=False)

# Angular's text is Vite's as well, so it comes first.
SIGNS = (
    _ResponsePattern(
        403,
        _HTML,
        rb"(?s)Blocked request\. This host \(.*angular\.json",
        HostCheck("Angular", "angular.json (serve > options)", '"allowedHosts": ["{host}"]'),
    ),
    _ResponsePattern(
        403,
        _ANY_TYPE,
        rb"(?s)Blocked request\. This host \(.*preview\.allowedHosts",
        HostCheck("Vite's preview", "vite.config.js", 'preview: { allowedHosts: ["{host}"] }'),
    ),
    _ResponsePattern(
        403,
        _ANY_TYPE,
        rb"Blocked request\. This host \(",
        HostCheck("Vite", "vite.config.js", 'server: { allowedHosts: ["{host}"] }'),
    ),
    _ResponsePattern(
        403,
        _NO_TYPE,
        rb"\AInvalid Host header\Z",
        HostCheck("webpack-dev-server", "webpack.config.js", 'devServer: { allowedHosts: ["{host}"] }'),
    ),
    _ResponsePattern(
        403,
        _NO_TYPE,
        rb"\AUnauthorized\Z",
        _NEXT,
    ),
    _ResponsePattern(
        403,
        _ANY_TYPE,
        rb"Blocked hosts?: ",
        HostCheck("Rails", "config/environments/development.rb", 'config.hosts << "{host}"', upstream_works=False),
    ),
    _ResponsePattern(
        403,
        _HTML,
        rb"Origin checking failed - ",
        HostCheck("Django's CSRF check", "settings.py", _PROXY_SSL, localhost_works=False, upstream_works=False),
    ),
    _ResponsePattern(
        400,
        _ANY_TYPE,
        rb"DisallowedHost\s+at /",
        HostCheck("Django", "settings.py", 'ALLOWED_HOSTS = ["{host}"]'),
    ),
    _ResponsePattern(
        400,
        _HTML,
        rb"<p>Host &#39;[^<]*&#39; is not trusted\.</p>",
        HostCheck("Flask", "the app's configuration", 'TRUSTED_HOSTS = ["{host}"]', localhost_works=False),
    ),
    _ResponsePattern(
        400,
        _TEXT,
        rb"\AInvalid host header\Z",
        HostCheck(
            "Starlette's TrustedHostMiddleware",
            "its arguments",
            'allowed_hosts=["{host}"]',
            localhost_works=False,
        ),
    ),
)


def recognise(status: int, content_type: bytes, body_start: bytes) -> HostCheck | None:
    """Return which framework's host check gave this answer, or None; `body_start` is at most SNIFF_BYTES long.

    A body as short as webpack-dev-server's or Next's is only recognised when it is the whole body.
    """
    if status not in STATUSES:
        return None
    for sign in SIGNS:
        if sign.status == status and re.match(sign.content_type, content_type) and re.search(sign.body, body_start):
            return sign.check
    return None


def recognise_refused_socket(reason: str) -> HostCheck | None:
    """Return whose host check refused a WebSocket without an HTTP answer, or None; `reason` is the exchange's.

    Next.js writes the bare word on the connection of its hot reload (16.4). A browser sends no Origin with the page's
    scripts, so this is often all that is seen of its refusal.
    """
    return _NEXT if reason.startswith('The app said "Unauthorized",') else None
