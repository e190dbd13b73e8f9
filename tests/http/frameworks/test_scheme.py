"""An app that takes its own address for http is recognised by what it answers, and by nothing else."""

from __future__ import annotations

import pytest

from devtls.http.events import Headers, Request, Response
from devtls.http.frameworks.scheme import (
    MISSING_COOKIE,
    OWN_URL,
    REDIRECT_LOOP,
    framework_of_head,
    framework_of_page,
    of_head,
    of_page,
)

AUTHORITY = b"app.dev.local:8443"
EXPRESS = (b"X-Powered-By", b"Express")


def asking(target: bytes = b"/", method: bytes = b"GET", headers: Headers | None = None) -> Request:
    return Request(1, method, target, AUTHORITY, headers or [])


@pytest.mark.parametrize(
    ("headers", "framework"),
    [
        ([EXPRESS], "Express"),
        ([(b"x-powered-by", b"Next.js")], "Next.js"),
        ([(b"x-powered-by", b"Nuxt")], "Nuxt"),
        ([(b"x-powered-by", b"PHP/8.2")], ""),
        ([(b"date", b"today"), (b"Server", b"Werkzeug/3.1.3 Python/3.11")], "Flask"),
        ([(b"Server", b"WSGIServer/0.2 CPython/3.11"), (b"Cross-Origin-Opener-Policy", b"same-origin")], "Django"),
        ([(b"Server", b"WSGIServer/0.2 CPython/3.11")], ""),
        ([(b"server", b"nginx")], ""),
        ([(b"x-sveltekit-page", b"true")], "SvelteKit"),
        ([], ""),
    ],
)
def test_a_framework_is_known_by_its_head(headers: Headers, framework: str) -> None:
    assert framework_of_head(headers) == framework


@pytest.mark.parametrize(
    ("page", "framework"),
    [
        (b'<script type="module" src="/_nuxt/@vite/client">', "Nuxt"),
        (b"<script>window.__astro_dev_toolbar__ = {}", "Astro"),
        (b"<script>__sveltekit_dev = {", "SvelteKit"),
        (b"url('./sb-common-assets/nunito-sans-regular.woff2')", "Storybook"),
        (b'<script type="module" src="/@vite/client">', ""),
    ],
)
def test_a_framework_is_known_by_the_scripts_of_its_page(page: bytes, framework: str) -> None:
    assert framework_of_page(page) == framework


@pytest.mark.parametrize(
    ("location", "found"),
    [
        (b"http://app.dev.local:8443/r", True),
        (b"http://app.dev.local:8443", True),
        (b"HTTP://APP.dev.local/r?x", True),
        (b"http://app.dev.local.evil/", False),
        (b"http://127.0.0.1:3000/", False),
        (b"https://app.dev.local:8443/r", False),
        (b"/r", False),
    ],
)
def test_a_redirect_to_its_own_http_address_shows_it(location: bytes, found: bool) -> None:
    shown = of_head(asking(), Response(1, 302, [(b"Location", location)]), "Flask")
    assert (shown is not None and shown.advice is OWN_URL and shown.seen == "Flask") is found


def test_a_name_without_a_port_is_its_own_too() -> None:
    request = Request(1, b"GET", b"/", b"app.dev.local", [])
    assert of_head(request, Response(1, 301, [(b"location", b"http://app.dev.local/x")]), "") is not None


@pytest.mark.parametrize(
    ("status", "method", "location", "found"),
    [
        (301, b"GET", b"https://app.dev.local:8443/a?b", True),
        (301, b"GET", b"https://app.dev.local/a?b", True),
        (201, b"GET", b"https://app.dev.local:8443/a?b", False),
        (303, b"POST", b"https://app.dev.local:8443/a?b", False),
        (302, b"GET", b"https://app.dev.local:8443/a", False),
    ],
)
def test_a_redirect_to_the_address_that_was_asked_for_is_a_loop(
    status: int, method: bytes, location: bytes, found: bool
) -> None:
    shown = of_head(asking(b"/a?b", method), Response(1, status, [(b"Location", location)]), "Django")
    assert (shown is not None and shown.advice is REDIRECT_LOOP) is found


def test_express_without_a_cookie_may_have_a_secure_one() -> None:
    plain, cookie = Response(1, 200, [EXPRESS]), Response(1, 200, [EXPRESS, (b"Set-Cookie", b"a=b")])
    shown = of_head(asking(b"/login", b"POST"), plain, "Express")
    assert shown is not None
    assert (shown.advice, shown.method) == (MISSING_COOKIE, "POST")
    assert of_head(asking(b"/", b"GET", [(b"cookie", b"a=b")]), plain, "Express") is None
    assert of_head(asking(), cookie, "Express") is None
    assert of_head(asking(), plain, "Nuxt") is None
    assert of_head(asking(b"/", b"PUT"), plain, "Express") is None
    assert of_head(asking(), Response(1, 500, [EXPRESS]), "Express") is None


def test_a_page_with_its_own_http_address_shows_it() -> None:
    shown = of_page(asking(), b'<form action="http://app.dev.local:8443/login">', "Flask")
    assert shown is not None
    assert dict(shown.facts) == {"evidence": "its page holds http://app.dev.local:8443/login"}
    assert of_page(asking(), b'<a href="https://app.dev.local:8443/">', "") is None
    assert of_page(asking(), b'<a href="http://app.dev.local:84433/">', "") is None
