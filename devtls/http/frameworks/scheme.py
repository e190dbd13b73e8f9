"""Signs that an app takes its own address for http, and what makes its framework believe X-Forwarded-Proto.

Owns which framework a response's head or page shows, the three signs (an http URL of the app's own public name in a
Location or in a page, a redirect to the very https address that was asked for, a form that Express answers without a
cookie), and the setting for each framework. Refuses to speak of an app that gives no sign: most never look.
"""

from __future__ import annotations

import re

from devtls.http.events import Headers, Request, Response
from devtls.http.frameworks.advice import FrameworkAdvice, FrameworkFinding, Remedy
from devtls.http.headers import get
from devtls.http.location import has_port

PAGE_BYTES = 65536
"""How much of a page is searched."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})

_PROXY_SSL = 'SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")'
_TRUST_PROXY = Remedy("the app's code", 'app.set("trust proxy", "loopback")', "Express")
_SETTINGS = (
    _TRUST_PROXY,
    Remedy(
        "the app's code (from werkzeug.middleware.proxy_fix import ProxyFix)",
        "app.wsgi_app = ProxyFix(app.wsgi_app, x_proto=1, x_host=1)",
        "Flask",
    ),
    Remedy("settings.py", _PROXY_SSL, "Django"),
    Remedy("astro.config.mjs", 'security: { allowedDomains: [{ hostname: "{host}", protocol: "https" }] }', "Astro"),
    Remedy(
        "vite.config.js",
        'plugins: [..., { name: "https", configureServer: (s) => void (s.config.server.https = {}) }]',
        "SvelteKit",
    ),
)

OWN_URL = FrameworkAdvice(
    "The app", "takes its own address for http: {evidence}", _SETTINGS, particular=True, minor=True
)
"""An http URL of the app's own; devtls turns those in a Location round, so the app may be left as it is."""

REDIRECT_LOOP = FrameworkAdvice(
    "The app",
    "redirects {evidence} to itself, since it takes the connection for plain http",
    _SETTINGS,
    particular=True,
    unknown="Let it believe the header X-Forwarded-Proto, which says https",
)

MISSING_COOKIE = FrameworkAdvice(
    "Express",
    "sets no cookie in answer to {evidence}: a session whose cookie is secure gets none while it takes the connection "
    "for plain http",
    (_TRUST_PROXY,),
    particular=True,
)
"""Given when the project keeps its sessions so; the response alone does not tell."""

COOKIE_PACKAGES = frozenset({"express-session", "cookie-session"})

_BY_POWERED = {b"express": "Express", b"next.js": "Next.js", b"nuxt": "Nuxt"}
_PAGES = (
    (rb"/_nuxt/@vite/client|__NUXT__", "Nuxt"),
    (rb"__astro_dev_toolbar__|/@id/astro/|<astro-island", "Astro"),
    (rb"__sveltekit_", "SvelteKit"),
    (rb"\bsb-common-assets/", "Storybook"),
)
"""What a page of a framework's development server holds, and no other."""


def framework_of_head(headers: Headers) -> str:
    """Return the framework that a head shows, "" for none."""
    for name, value in headers:
        match name.lower():
            case b"x-powered-by":
                return _BY_POWERED.get(value.lower(), "")
            case b"server" if value.startswith(b"Werkzeug/"):
                return "Flask"
            # wsgiref is anybody's; the other field is from Django's SecurityMiddleware.
            case b"server" if value.startswith(b"WSGIServer/"):
                return "Django" if get(headers, b"cross-origin-opener-policy") else ""
            case b"x-sveltekit-page":
                return "SvelteKit"
            case _:
                continue
    return ""


def framework_of_page(page: bytes) -> str:
    """Return the framework whose scripts a page loads, "" for none."""
    return next((framework for pattern, framework in _PAGES if re.search(pattern, page)), "")


def of_head(request: Request, response: Response, seen: str) -> FrameworkFinding | None:
    """Return what a response's head shows, as the app sent it."""
    method = request.method.decode("latin-1")
    if response.status in _REDIRECTS and (location := get(response.headers, b"location")):
        shown = location.decode("latin-1")
        if _is_own_http(location, request.authority):
            return FrameworkFinding(OWN_URL, seen, (("evidence", f"it redirects to {shown}"),), method)
        if request.method == b"GET" and location in _addresses(request):
            return FrameworkFinding(REDIRECT_LOOP, seen, (("evidence", shown),), method)
    if _misses_cookie(request, response, seen):
        target = request.target.decode("latin-1")
        return FrameworkFinding(MISSING_COOKIE, seen, (("evidence", f"{method} {target}"),), method)
    return None


def of_page(request: Request, page: bytes, seen: str) -> FrameworkFinding | None:
    """Return what a page shows: an http URL of the app's public name."""
    at = page.find(b"http://" + request.authority)
    if at < 0 or not _is_own_http(url := _url(page, at), request.authority):
        return None
    return FrameworkFinding(OWN_URL, seen, (("evidence", f"its page holds {url.decode('latin-1')}"),))


def _url(page: bytes, at: int) -> bytes:
    found = re.match(rb"[^\s\"'<>`\\)]{1,200}", page[at : at + 200])
    return b"" if found is None else found[0]


def _is_own_http(url: bytes, authority: bytes) -> bool:
    folded = url.lower()
    return any(
        folded.startswith(b"http://" + own) and folded[7 + len(own) : 8 + len(own)] in (b"", b"/", b"?", b"#")
        for own in (authority, _name(authority))
    )


def _addresses(request: Request) -> tuple[bytes, bytes]:
    """Return the address that was asked for, and the same without its port: both lead back here."""
    authority = request.authority
    return b"https://" + authority + request.target, b"https://" + _name(authority) + request.target


def _name(authority: bytes) -> bytes:
    return authority[: authority.rfind(b":")] if has_port(authority) else authority


def _misses_cookie(request: Request, response: Response, seen: str) -> bool:
    return (
        seen == "Express"
        and response.status < 400
        and request.method in (b"GET", b"POST")
        and get(request.headers, b"cookie") is None
        and get(response.headers, b"set-cookie") is None
    )
