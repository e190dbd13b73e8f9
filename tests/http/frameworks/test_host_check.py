import pytest

from devtls.http.frameworks.advice import FrameworkAdvice, FrameworkFinding, Names, Project, hint
from devtls.http.frameworks.host_check import SNIFF_BYTES, recognise, recognise_refused_socket

HTML = b"text/html; charset=utf-8"
VITE = (
    b'Blocked request. This host ("app.dev.local") is not allowed.\nTo allow this host, add "app.dev.local" to '
    b"`%b.allowedHosts` in vite.config.js."
)
ANGULAR = b'<h1>Blocked request. This host ("app.dev.local") is not allowed.</h1><p>in <code>angular.json</code></p>'
RAILS = b"<style>" + b" " * 6500 + b"</style><h1>Blocked hosts: app.dev.local</h1>"
DJANGO = b"<!DOCTYPE html>\n<html><head>\n  <title>DisallowedHost\n          at /</title>"
FLASK = b"<title>400 Bad Request</title>\n<h1>Bad Request</h1>\n<p>Host &#39;app.dev.local&#39; is not trusted.</p>\n"
CSRF = b"<p>Reason given for failure:</p><pre>Origin checking failed - https://app.dev.local does not match any</pre>"
FORMS = b"Cross-site POST form submissions are forbidden"
JUPYTER = b"""<title>Jupyter Server</title> <div class="error">
    <h1>403 : Forbidden</h1>
    %b
</div>"""
NAMES = Names(
    "app.dev.local", 8443, hosts=("app.dev.local", "app.localhost"), zones=("dev.local",), works="app.localhost:8443"
)


def told(advice: FrameworkAdvice | None, seen: str = "", project: Project | None = None) -> str:
    assert advice is not None
    made = hint(FrameworkFinding(advice, seen), NAMES, project)
    assert made is not None
    return made.text


@pytest.mark.parametrize(
    ("status", "content_type", "body", "framework", "line"),
    [
        (403, b"text/plain", VITE % b"server", "Vite", '.js (or .ts): server: { allowedHosts: ["app.dev.local"] }'),
        (403, b"text/plain", VITE % b"preview", "Vite's preview", 'preview: { allowedHosts: ["app.dev.local"] }'),
        (403, b"text/html", ANGULAR, "Angular", '"allowedHosts": ["app.dev.local"]'),
        (403, b"", b"Invalid Host header", "webpack-dev-server", 'devServer: { allowedHosts: ["app.dev.local"] }'),
        (200, HTML, b"Invalid Host header", "webpack-dev-server", 'devServer: { allowedHosts: ["app.dev.local"] }'),
        (403, b"text/plain", b"Invalid host", "Storybook", 'core: { allowedHosts: ["app.dev.local"] }'),
        (403, b"", b"Unauthorized", "Next.js", 'next.config.js (or .ts): allowedDevOrigins: ["app.dev.local"]'),
        (403, HTML, RAILS, "Rails", 'config.hosts << "app.dev.local"'),
        (403, b"text/plain", b"Blocked host: app.dev.local", "Rails", 'config.hosts << "app.dev.local"'),
        (403, HTML, CSRF, "Django's CSRF check", "SECURE_PROXY_SSL_HEADER"),
        (403, b"text/plain;charset=UTF-8", FORMS, "Astro", '[{ hostname: "app.dev.local", protocol: "https" }]'),
        (403, b"", FORMS, "Astro", "[{ hostname:"),  # SvelteKit's own has no Content-Type
        (403, HTML, JUPYTER % b"", "Jupyter", 'local_hostnames = ["localhost", "app.dev.local", "app.localhost"]'),
        (
            400,
            HTML,
            DJANGO,
            "Django",
            'ALLOWED_HOSTS = [".localhost", "127.0.0.1", "[::1]", ".dev.local"]',
        ),
        (400, b"text/plain", b"DisallowedHost at /\nInvalid", "Django", "ALLOWED_HOSTS = ["),
        (400, b"TEXT/HTML", FLASK, "Flask", 'TRUSTED_HOSTS = [..., "app.dev.local"]'),
        (
            400,
            b"text/plain",
            b"Invalid host header",
            "Starlette's TrustedHostMiddleware",
            'allowed_hosts=[..., "app.dev.local"]',
        ),
    ],
)
def test_a_known_refusal_gives_the_line_to_add(
    status: int, content_type: bytes, body: bytes, framework: str, line: str
) -> None:
    advice = recognise(status, content_type, body[:SNIFF_BYTES])
    assert advice is not None
    assert advice.framework == framework
    assert line in told(advice)


@pytest.mark.parametrize(
    ("status", "content_type", "body"),
    [
        (200, b"", b"Invalid Host header"),
        (200, HTML, b"<p>Invalid Host header"),
        (404, HTML, RAILS),
        (403, b"application/json", b"Unauthorized"),
        (403, b"", b"Unauthorized: ask the admin"),
        (403, b"text/plain", b"Invalid host name in your form"),
        (403, HTML, JUPYTER % b"<p>The error was:</p>"),
        (403, HTML, CSRF.replace(b"https://app.dev.local", b"null")),
        (400, HTML, b"<h1>Bad Request (400)</h1>"),
        (403, b"", b""),
    ],
)
def test_a_response_that_any_app_could_give_is_not_recognised(status: int, content_type: bytes, body: bytes) -> None:
    assert recognise(status, content_type, body) is None


def test_a_socket_refused_with_a_bare_word_is_next() -> None:
    advice = recognise_refused_socket('The app said "Unauthorized", which is not HTTP, and closed the connection.')
    assert 'allowedDevOrigins: ["app.dev.local"]' in told(advice)
    assert recognise_refused_socket("The app closed the connection before answering.") is None


def test_the_text_of_vite_is_told_apart_by_the_page_or_the_project() -> None:
    advice = recognise(403, b"text/plain", VITE % b"server")
    astro = "Astro refuses the name app.dev.local. Add to astro.config.mjs (or .ts): server: { allowedHosts: ["
    assert told(advice, "Astro").startswith(astro)
    nuxt = Project(frozenset({"nuxt.config.ts", "tsconfig.json"}), frozenset({"nuxt"}))
    assert "Nuxt refuses the name app.dev.local. Add to nuxt.config.ts: vite: { server: {" in told(advice, "", nuxt)
    assert "vite.config.js (or .ts): server: {" in told(advice, "SvelteKit")
    for unknown in (None, Project()):
        assert all(f"{each}.config." in told(advice, "", unknown) for each in ("vite", "nuxt", "astro"))


def test_the_hint_names_what_works_without_a_change() -> None:
    advice = recognise(403, b"text/plain", VITE % b"server")
    assert told(advice).endswith(
        '(works now without it: https://app.localhost:8443, or `host = "upstream"` on the route)'
    )


def test_the_hint_is_silent_about_what_would_not_help() -> None:
    rails, flask, csrf = recognise(403, HTML, RAILS), recognise(400, HTML, FLASK), recognise(403, HTML, CSRF)
    assert "upstream" not in told(rails)
    assert "app.localhost" in told(rails)
    assert "localhost" not in told(flask)
    assert "works now" not in told(csrf)
