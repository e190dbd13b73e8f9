"""Error responses by which a framework refuses a name, or a form that comes from it, and the advice for each.

Development servers guard against DNS rebinding by a list of allowed names, and a name that is new to them is answered
with a bare 400 or 403; forms are guarded by a look at Origin. Owns the table of those responses, each read in the
framework's source and seen from a running one. Refuses to guess: a response that any app could give (Django's page
without DEBUG, an empty 403) is not recognised.

What works without touching the app differs, and the table says so. Next.js and the checks of forms look at Origin,
which the browser sets; so do Jupyter for its kernels, Storybook and webpack-dev-server for their WebSockets. Rails also
looks at X-Forwarded-Host. For those `host = "upstream"` changes nothing, or only half.
"""

from __future__ import annotations

import re

import msgspec

from devtls.http.frameworks.advice import FrameworkAdvice, Remedy

SNIFF_BYTES = 8192
"""How much of a body is enough: Rails writes 6.5 KB of style sheet before the sentence that matters."""

STATUSES = frozenset({400, 403})
"""Other error responses need no look at their body; of the rest, only pages are looked at."""

REFUSES_NAME = "refuses the name {host}"
_REFUSES_FORMS = "refuses forms from {origin}, since it takes its own address for http"


def _refusal(
    framework: str,
    *settings: Remedy,
    problem: str = REFUSES_NAME,
    localhost: bool = True,
    upstream: bool = True,
) -> FrameworkAdvice:
    return FrameworkAdvice(
        framework, problem, settings, localhost_works=localhost, upstream_works=upstream, event="host_check"
    )


class _ResponsePattern(msgspec.Struct, frozen=True):
    """How a response is recognised: its status, the patterns of its Content-Type and its body.

    `re` compiles a pattern when it is first searched for: compiling all of them at import took 1 ms of each start.
    """

    status: int
    content_type: bytes
    body: bytes
    advice: FrameworkAdvice


_ANY_TYPE = rb""
_NO_TYPE = rb"\Z"
"""Node's bare `res.end(text)`: what tells Next's "Unauthorized" from that of an app that answers on purpose."""
_HTML = rb"(?i)text/html"
_TEXT = rb"(?i)text/plain"
_TEXT_OR_NONE = rb"(?i)text/plain|\Z"

_WEBPACK = _refusal(
    "webpack-dev-server",
    Remedy("webpack.config.js", 'devServer: { allowedHosts: ["{host}"] }'),
    upstream=False,
)
_NEXT = _refusal("Next.js", Remedy("next.config.js", 'allowedDevOrigins: ["{host}"]'), upstream=False)

# Angular's text is Vite's as well, so it comes first.
SIGNS = (
    _ResponsePattern(
        403,
        _HTML,
        rb"(?s)Blocked request\. This host \(.*angular\.json",
        _refusal("Angular", Remedy("angular.json (serve > options)", '"allowedHosts": ["{host}"]')),
    ),
    _ResponsePattern(
        403,
        _ANY_TYPE,
        rb"(?s)Blocked request\. This host \(.*preview\.allowedHosts",
        _refusal("Vite's preview", Remedy("vite.config.js", 'preview: { allowedHosts: ["{host}"] }')),
    ),
    # The text of Nuxt and Astro is Vite's, and names a file that they do not read.
    _ResponsePattern(
        403,
        _ANY_TYPE,
        rb"Blocked request\. This host \(",
        _refusal(
            "Vite",
            Remedy("vite.config.js", 'server: { allowedHosts: ["{host}"] }'),
            Remedy("nuxt.config.ts", 'vite: { server: { allowedHosts: ["{host}"] } }', "Nuxt"),
            Remedy("astro.config.mjs", 'server: { allowedHosts: ["{host}"] }', "Astro"),
        ),
    ),
    _ResponsePattern(
        403,
        _NO_TYPE,
        rb"\AInvalid Host header\Z",
        _WEBPACK,
    ),
    # Version 4, inside Vue CLI 5 and Create React App 5, says it as if it were a page.
    _ResponsePattern(
        200,
        _HTML,
        rb"\AInvalid Host header\Z",
        _WEBPACK,
    ),
    _ResponsePattern(
        403,
        _TEXT,
        rb"\AInvalid host\Z",
        _refusal("Storybook", Remedy(".storybook/main.js", 'core: { allowedHosts: ["{host}"] }'), upstream=False),
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
        _refusal("Rails", Remedy("config/environments/development.rb", 'config.hosts << "{host}"'), upstream=False),
    ),
    # Astro has the sentence from SvelteKit. Neither believes X-Forwarded-Proto unasked, so its own origin is http.
    _ResponsePattern(
        403,
        _TEXT_OR_NONE,
        rb"\ACross-site [A-Z]+ form submissions are forbidden\Z",
        _refusal(
            "Astro",
            Remedy(
                "astro.config.mjs", 'security: { allowedDomains: [{ hostname: "{host}", protocol: "https" }] }', "Astro"
            ),
            Remedy("vite.config.js", 'sveltekit({ csrf: { trustedOrigins: ["{origin}"] } })', "SvelteKit"),
            problem=_REFUSES_FORMS,
            localhost=False,
            upstream=False,
        ),
    ),
    _ResponsePattern(
        403,
        _HTML,
        rb"Origin checking failed - https://",
        _refusal(
            "Django's CSRF check",
            Remedy("settings.py", 'SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")'),
            problem=_REFUSES_FORMS,
            localhost=False,
            upstream=False,
        ),
    ),
    # A list takes the place of the names that Django allows while there is none (and DEBUG is on).
    _ResponsePattern(
        400,
        _ANY_TYPE,
        rb"DisallowedHost\s+at /",
        _refusal("Django", Remedy("settings.py", 'ALLOWED_HOSTS = [".localhost", "127.0.0.1", "[::1]"{zones}]')),
    ),
    _ResponsePattern(
        400,
        _HTML,
        rb"<p>Host &#39;[^<]*&#39; is not trusted\.</p>",
        _refusal("Flask", Remedy("the app's configuration", 'TRUSTED_HOSTS = [..., "{host}"]'), localhost=False),
    ),
    _ResponsePattern(
        400,
        _TEXT,
        rb"\AInvalid host header\Z",
        _refusal(
            "Starlette's TrustedHostMiddleware",
            Remedy("its arguments", 'allowed_hosts=[..., "{host}"]'),
            localhost=False,
        ),
    ),
    # The same page with a reason is that of another refusal, a missing _xsrf say.
    _ResponsePattern(
        403,
        _HTML,
        rb"(?s)<title>Jupyter Server</title>.*<h1>403 : Forbidden</h1>\s*</div>",
        _refusal(
            "Jupyter",
            Remedy("jupyter_server_config.py", 'c.ServerApp.local_hostnames = ["localhost"{hosts}]'),
            localhost=False,
            upstream=False,
        ),
    ),
)


def recognise(status: int, content_type: bytes, body_start: bytes) -> FrameworkAdvice | None:
    """Return the advice for a framework's refusal, or None; `body_start` is at most SNIFF_BYTES long.

    A body as short as webpack-dev-server's or Next's is only recognised when it is the whole body.
    """
    for sign in SIGNS:
        if sign.status == status and re.match(sign.content_type, content_type) and re.search(sign.body, body_start):
            return sign.advice
    return None


def recognise_refused_socket(reason: str) -> FrameworkAdvice | None:
    """Return the advice for a WebSocket that was refused without an HTTP answer, or None; `reason` is the exchange's.

    Next.js writes the bare word on the connection of its hot reload (16.4). A browser sends no Origin with the page's
    scripts, so this is often all that is seen of its refusal.
    """
    return _NEXT if reason.startswith('The app said "Unauthorized",') else None
