"""Which Domain of a cookie reaches above the name of its route."""

from __future__ import annotations

import pytest

from devtls.http.cookies import domains_above, strip_domains
from devtls.http.events import Headers

APP = (b"app.dev.local", b"app.localhost")
WILD = (b"*.app.dev.local", b"*.app.localhost")


def stripped(value: bytes, authority: bytes = b"app.dev.local:8443", hosts: tuple[bytes, ...] = APP) -> bytes:
    ((_, left),) = strip_domains([(b"Set-Cookie", value)], authority, hosts)
    return left


@pytest.mark.parametrize(
    ("value", "left"),
    [
        (b"a=1; Domain=dev.local", b"a=1"),
        (b"a=1; Path=/; domain = .Dev.Local ; Secure", b"a=1; Path=/; Secure"),
        (b"a=1;Domain=local;HttpOnly", b"a=1;HttpOnly"),
        (b'a=1; Domain="dev.local"', b"a=1"),
        (b"a=1; Domain=dev.local.", b"a=1"),
        (b"a=1; Domain=app.dev.local; Domain=dev.local", b"a=1; Domain=app.dev.local"),
        (b"; Domain=dev.local", b""),
    ],
)
def test_a_domain_above_the_name_of_the_route_is_taken_out(value: bytes, left: bytes) -> None:
    assert stripped(value) == left


@pytest.mark.parametrize(
    "value",
    [
        b"a=1",
        b"a=1; Path=/; SameSite=Lax",
        b"a=1; Domain=app.dev.local",
        b"a=1; Domain=x.app.dev.local",
        b"a=1; Domain=evil.example",
        b"a=1; Domain=v.local",
        b"a=1; Domain=",
        b"a=1; Domain",
        b"Domain=dev.local; Path=/",
        b"a=1; X-Domain=dev.local",
    ],
)
def test_every_other_cookie_stays_byte_for_byte(value: bytes) -> None:
    assert stripped(value) == value


@pytest.mark.parametrize("domain", ["dev\u3002local", "\uff44ev.local", "d\u00adev.local", "\u00e4pp.dev.local"])
def test_a_domain_that_browsers_map_to_another_spelling_is_taken_out(domain: str) -> None:
    value = b"a=1; Domain=" + domain.encode()
    assert stripped(value) == b"a=1"
    assert domains_above([(b"Set-Cookie", value)], b"app.dev.local", APP) == (("a", domain),)


def test_a_route_of_a_wildcard_may_set_cookies_for_all_of_its_names() -> None:
    for domain, left in ((b"app.dev.local", b"a=1; Domain=app.dev.local"), (b"dev.local", b"a=1")):
        assert stripped(b"a=1; Domain=" + domain, b"t1.app.dev.local", WILD) == left
        assert stripped(b"a=1; Domain=" + domain, b"x.y.app.dev.local.:8443", WILD) == left


def test_an_address_has_no_names_above_it() -> None:
    assert stripped(b"a=1; Domain=::1", b"[::1]:8443", (b"localhost",)) == b"a=1; Domain=::1"


def test_each_cookie_and_domain_is_told_once_and_other_fields_stay() -> None:
    headers: Headers = [
        (b"Content-Type", b"text/html; Domain=dev.local"),
        (b"set-cookie", b" sid =1; Domain=dev.local"),
        (b"Set-Cookie", b"sid=2; Domain=.dev.local; Domain=local"),
        (b"Set-Cookie", b"theme=dark; Path=/"),
        (b"Set-Cookie", b"lang=\xe4; Domain=dev.local"),
    ]
    assert domains_above(headers, b"app.dev.local", APP) == (
        ("sid", "dev.local"),
        ("sid", "local"),
        ("lang", "dev.local"),
    )
    assert strip_domains(headers, b"app.dev.local", APP) == [
        (b"Content-Type", b"text/html; Domain=dev.local"),
        (b"set-cookie", b" sid =1"),
        (b"Set-Cookie", b"sid=2"),
        (b"Set-Cookie", b"theme=dark; Path=/"),
        (b"Set-Cookie", b"lang=\xe4"),
    ]
