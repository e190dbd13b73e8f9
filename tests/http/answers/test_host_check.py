import pytest

from devtls.http.answers.host_check import SNIFF_BYTES, recognise, recognise_refused_socket

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


@pytest.mark.parametrize(
    ("status", "content_type", "body", "framework", "line"),
    [
        (403, b"text/plain", VITE % b"server", "Vite", 'vite.config.js: server: { allowedHosts: ["app.dev.local"] }'),
        (403, b"text/plain", VITE % b"preview", "Vite's preview", 'preview: { allowedHosts: ["app.dev.local"] }'),
        (403, b"text/html", ANGULAR, "Angular", '"allowedHosts": ["app.dev.local"]'),
        (403, b"", b"Invalid Host header", "webpack-dev-server", 'devServer: { allowedHosts: ["app.dev.local"] }'),
        (403, b"", b"Unauthorized", "Next.js", 'next.config.js: allowedDevOrigins: ["app.dev.local"]'),
        (403, HTML, RAILS, "Rails", 'config.hosts << "app.dev.local"'),
        (403, b"text/plain", b"Blocked host: app.dev.local", "Rails", 'config.hosts << "app.dev.local"'),
        (403, HTML, CSRF, "Django's CSRF check", "SECURE_PROXY_SSL_HEADER"),
        (400, HTML, DJANGO, "Django", 'settings.py: ALLOWED_HOSTS = ["app.dev.local"]'),
        (400, b"text/plain", b"DisallowedHost at /\nInvalid", "Django", 'ALLOWED_HOSTS = ["app.dev.local"]'),
        (400, b"TEXT/HTML", FLASK, "Flask", 'TRUSTED_HOSTS = ["app.dev.local"]'),
        (
            400,
            b"text/plain",
            b"Invalid host header",
            "Starlette's TrustedHostMiddleware",
            'allowed_hosts=["app.dev.local"]',
        ),
    ],
)
def test_a_known_host_check_gives_the_line_to_add(
    status: int, content_type: bytes, body: bytes, framework: str, line: str
) -> None:
    check = recognise(status, content_type, body[:SNIFF_BYTES])
    assert check is not None
    assert check.framework == framework
    assert line in check.hint("app.dev.local")


@pytest.mark.parametrize(
    ("status", "content_type", "body"),
    [
        (200, b"", b"Invalid Host header"),
        (404, HTML, RAILS),
        (403, b"application/json", b"Unauthorized"),
        (403, b"", b"Unauthorized: ask the admin"),
        (400, HTML, b"<h1>Bad Request (400)</h1>"),
        (403, b"", b""),
    ],
)
def test_an_answer_that_any_app_could_give_is_not_recognised(status: int, content_type: bytes, body: bytes) -> None:
    assert recognise(status, content_type, body) is None


def test_a_socket_refused_with_a_bare_word_is_next() -> None:
    check = recognise_refused_socket('The app said "Unauthorized", which is not HTTP, and closed the connection.')
    assert check is not None
    assert 'allowedDevOrigins: ["app.dev.local"]' in check.hint("app.dev.local")
    assert recognise_refused_socket("The app closed the connection before answering.") is None


def test_the_hint_names_what_works_without_a_change() -> None:
    check = recognise(403, b"text/plain", VITE % b"server")
    assert check is not None
    assert check.hint("api.dev.local").endswith(
        '(works now without it: https://api.localhost, or `host = "upstream"` on the route)'
    )
    assert "https://v1.api.localhost" in check.hint("v1.api.dev.local", "v1.api.localhost")


def test_the_hint_is_silent_about_what_would_not_help() -> None:
    rails = recognise(403, HTML, RAILS)
    flask = recognise(400, HTML, FLASK)
    csrf = recognise(403, HTML, CSRF)
    assert rails is not None
    assert flask is not None
    assert csrf is not None
    assert "upstream" not in rails.hint("app.dev.local")
    assert "app.localhost" in rails.hint("app.dev.local")
    assert "localhost" not in flask.hint("app.dev.local")
    assert "works now" not in csrf.hint("app.dev.local")
