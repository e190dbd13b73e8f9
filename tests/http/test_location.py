import pytest

from devtls.http.location import PublicOrigin, has_port, has_prefix, public_origin, strip_prefix

OWN = (b"http://127.0.0.1:3000", b"http://localhost:3000")


def origin(authority: bytes = b"app.dev.local:8443", prefix: bytes = b"") -> PublicOrigin:
    return public_origin(b"https", authority, prefix, OWN)


@pytest.mark.parametrize(
    ("url", "moved"),
    [
        (b"http://127.0.0.1:3000", b"https://app.dev.local:8443"),
        (b"http://127.0.0.1:3000/a%2Fb//c?x=%zz#f", b"https://app.dev.local:8443/a%2Fb//c?x=%zz#f"),
        (b"HTTP://LocalHost:3000/Path", b"https://app.dev.local:8443/Path"),
        (b"http://localhost:3000?q", b"https://app.dev.local:8443?q"),
        (b"http://localhost:3000#f", b"https://app.dev.local:8443#f"),
        (b"http://app.dev.local:8443/x", b"https://app.dev.local:8443/x"),
        (b"http://app.dev.local/x", b"https://app.dev.local:8443/x"),
    ],
)
def test_a_url_of_the_app_itself_moves_to_the_public_origin(url: bytes, moved: bytes) -> None:
    assert origin().move(url) == moved


@pytest.mark.parametrize(
    "url",
    [
        b"",
        b"/login",
        b"//127.0.0.1:3000/x",
        b"http://127.0.0.1:30000/",
        b"http://127.0.0.1:3000@evil.example/",
        b"http://127.0.0.1:3000\\evil",
        b"http://127.0.0.1:3000.evil.example/",
        b"https://127.0.0.1:3000/",
        b"https://app.dev.local/x",
        b"https://accounts.example.com/?next=http://127.0.0.1:3000/",
        b"http://other.dev.local/",
    ],
)
def test_every_other_url_stays(url: bytes) -> None:
    assert origin().move(url) == url


def test_the_stripped_prefix_is_put_back_once() -> None:
    stripped = origin(b"app.dev.local", b"/api")
    assert stripped.move(b"http://127.0.0.1:3000/x") == b"https://app.dev.local/api/x"
    assert stripped.move(b"http://127.0.0.1:3000?x") == b"https://app.dev.local/api?x"
    assert stripped.move(b"http://127.0.0.1:3000") == b"https://app.dev.local/api"
    assert stripped.move(b"http://127.0.0.1:3000/api/x") == b"https://app.dev.local/api/x"
    assert stripped.move(b"http://127.0.0.1:3000/apis") == b"https://app.dev.local/api/apis"


@pytest.mark.parametrize(
    ("value", "moved"),
    [
        (b"5", b"5"),
        (b"5; url=/x", b"5; url=/x"),
        (b"0;URL=http://localhost:3000/x", b"0;URL=https://app.dev.local:8443/x"),
        (b"0, url = 'http://localhost:3000/x'", b"0, url = 'https://app.dev.local:8443/x'"),
        (b'0; url="http://localhost:3000/x"; z', b'0; url="https://app.dev.local:8443/x"; z'),
        (b"0; url='http://localhost:3000/x", b"0; url='https://app.dev.local:8443/x"),
        (b"0; url=", b"0; url="),
    ],
)
def test_refresh_moves_its_url_and_keeps_the_rest(value: bytes, moved: bytes) -> None:
    assert origin().move_refresh(value) == moved


def test_link_moves_every_target_and_no_quoted_parameter() -> None:
    value = b'<http://localhost:3000/a.css>; rel=preload; title="<http://localhost:3000/>\\"", </b>, <http://127.0.0.1:3000/c>'
    moved = b'<https://app.dev.local:8443/a.css>; rel=preload; title="<http://localhost:3000/>\\"", </b>, '
    assert origin().move_link(value) == moved + b"<https://app.dev.local:8443/c>"


def test_a_port_is_not_confused_with_ipv6_colons() -> None:
    assert has_port(b"[::1]:8443")
    assert not has_port(b"[::1]")
    assert not has_port(b"app.dev.local")
    assert b"http://[::1]" in origin(b"[::1]:8443").own


@pytest.mark.parametrize(
    ("target", "stripped"),
    [
        (b"/api", b"/"),
        (b"/api/", b"/"),
        (b"/api/x", b"/x"),
        (b"/api?x", b"/?x"),
        (b"/api//x%2F", b"//x%2F"),
        (b"/apis", b"/apis"),
        (b"/", b"/"),
        (b"*", b"*"),
    ],
)
def test_a_prefix_is_stripped_by_whole_segments(target: bytes, stripped: bytes) -> None:
    assert strip_prefix(target, b"/api") == stripped


def test_an_empty_prefix_holds_nothing() -> None:
    assert not has_prefix(b"/x", b"")
