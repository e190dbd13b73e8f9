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
        # An app that believes X-Forwarded-Proto and knows its own address: Next.js.
        (b"https://localhost:3000/r", b"https://app.dev.local:8443/r"),
        (b"https://127.0.0.1:3000/", b"https://app.dev.local:8443/"),
        # The public name with the port of the app: nginx, whose server_name and port these are.
        (b"http://app.dev.local:3000/docs/", b"https://app.dev.local:8443/docs/"),
        (b"https://app.dev.local:3000/docs/", b"https://app.dev.local:8443/docs/"),
        (b"http://[::1]:3000/x", b"https://app.dev.local:8443/x"),
        (b"http://[0:0:0:0:0:0:0:1]:3000/x", b"https://app.dev.local:8443/x"),
        (b"http://[::FFFF:127.0.0.1]:3000/x", b"https://app.dev.local:8443/x"),
        (b"http://0.0.0.0:3000/x", b"https://app.dev.local:8443/x"),
        (b"http://[::]:3000/x", b"https://app.dev.local:8443/x"),
        (b"//127.0.0.1:3000/x", b"https://app.dev.local:8443/x"),
        (b"//app.dev.local:3000/x", b"https://app.dev.local:8443/x"),
        (b"//app.dev.local:8443/x", b"https://app.dev.local:8443/x"),
        (b"//app.dev.local/x", b"https://app.dev.local:8443/x"),
        (b"HTTPS://APP.dev.local.:8443/X", b"https://app.dev.local:8443/X"),
        (b"http://localhost.:03000/x", b"https://app.dev.local:8443/x"),
        (b"http://app.dev.local:/x", b"https://app.dev.local:8443/x"),
        (b"http://app.dev.local:80/x", b"https://app.dev.local:8443/x"),
        # An app that believes X-Forwarded-Proto and leaves the port out: `"https://" + req.hostname` in Express.
        (b"https://app.dev.local/x", b"https://app.dev.local:8443/x"),
        (b"https://app.dev.local:443/x", b"https://app.dev.local:8443/x"),
    ],
)
def test_a_url_of_the_app_itself_moves_to_the_public_origin(url: bytes, moved: bytes) -> None:
    assert origin().move(url) == moved


@pytest.mark.parametrize(
    "url",
    [
        b"",
        b"/login",
        b"//other.dev.local:3000/x",
        b"///127.0.0.1:3000/x",
        b"http:/127.0.0.1:3000/x",
        b"ftp://127.0.0.1:3000/",
        b"http://127.0.0.1:30000/",
        b"http://127.0.0.1:300000003000/",
        b"http://127.0.0.1:0/",
        b"//127.0.0.1:000/x",
        b"http://127.0.0.1:3000x/",
        b"http://127.0.0.1/",
        b"http://127.0.0.2:3000/",
        b"http://localhost:4000/",
        b"https://localhost/",
        b"http://[::2]:3000/",
        b"http://[:::]:3000/",
        b"http://user@127.0.0.1:3000/",
        b"http://127.0.0.1:3000%2fevil/",
        b"http://127.0.0.1:3000@evil.example/",
        b"http://127.0.0.1:3000\\evil",
        b"http://127.0.0.1:3000.evil.example/",
        b"https://app.dev.local:444/x",
        b"https://accounts.example.com/?next=http://127.0.0.1:3000/",
        b"http://other.dev.local/",
    ],
)
def test_every_other_url_stays(url: bytes) -> None:
    assert origin().move(url) == url


def test_an_app_on_a_default_port_is_meant_with_and_without_it() -> None:
    own = (b"http://db.example", b"http://db.example:80")
    moving = public_origin(b"https", b"app.dev.local", b"", own)
    for url in (b"http://db.example/x", b"http://db.example:80/x", b"//db.example/x", b"http://app.dev.local/x"):
        assert moving.move(url) == b"https://app.dev.local/x"
    # Another origin by every browser's reckoning: the remote site's own https.
    assert moving.move(b"https://db.example/x") == b"https://db.example/x"
    assert moving.move(b"http://0.0.0.0/x") == b"http://0.0.0.0/x"


def test_an_app_behind_a_unix_socket_is_localhost_in_both_schemes() -> None:
    moving = public_origin(b"https", b"app.dev.local:8443", b"", (b"http://localhost",))
    for url in (b"http://localhost/x", b"https://localhost/x", b"//localhost/x", b"https://app.dev.local/x"):
        assert moving.move(url) == b"https://app.dev.local:8443/x"
    assert moving.move(b"http://localhost:3000/x") == b"http://localhost:3000/x"


def test_the_stripped_prefix_is_put_back_once() -> None:
    stripped = origin(b"app.dev.local", b"/api")
    assert stripped.move(b"http://127.0.0.1:3000/x") == b"https://app.dev.local/api/x"
    assert stripped.move(b"http://127.0.0.1:3000?x") == b"https://app.dev.local/api?x"
    assert stripped.move(b"http://127.0.0.1:3000") == b"https://app.dev.local/api"
    assert stripped.move(b"http://127.0.0.1:3000/api/x") == b"https://app.dev.local/api/x"
    assert stripped.move(b"http://127.0.0.1:3000/apis") == b"https://app.dev.local/api/apis"


def test_the_stripped_prefix_is_put_back_for_an_app_that_believes_x_forwarded_proto() -> None:
    stripped = origin(b"app.dev.local:8443", b"/api")
    assert stripped.move(b"https://app.dev.local:8443/hello") == b"https://app.dev.local:8443/api/hello"
    assert stripped.move(b"https://app.dev.local:8443/api/hello") == b"https://app.dev.local:8443/api/hello"
    assert stripped.move(b"//app.dev.local:8443/hello") == b"https://app.dev.local:8443/api/hello"
    assert stripped.move(b"https://localhost:3000/hello") == b"https://app.dev.local:8443/api/hello"
    on_443 = origin(b"app.dev.local", b"/api")
    assert on_443.move(b"https://app.dev.local:443/hello") == b"https://app.dev.local/api/hello"
    assert on_443.move(b"https://app.dev.local/hello") == b"https://app.dev.local/api/hello"
    assert on_443.move(b"https://accounts.example.com/hello") == b"https://accounts.example.com/hello"


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
        (b"0; http://localhost:3000/x", b"0; https://app.dev.local:8443/x"),
        (b"0 url=http://localhost:3000/x", b"0 url=https://app.dev.local:8443/x"),
        (b"soon; url=http://localhost:3000/x", b"soon; url=http://localhost:3000/x"),
        (b"0; uri=http://localhost:3000/x", b"0; uri=http://localhost:3000/x"),
    ],
)
def test_refresh_moves_its_url_and_keeps_the_rest(value: bytes, moved: bytes) -> None:
    assert origin().move_refresh(value) == moved


def test_link_moves_every_target_and_no_quoted_parameter() -> None:
    value = b'<http://localhost:3000/a.css>; rel=preload; title="<http://localhost:3000/>\\"", </b>, <http://127.0.0.1:3000/c>'
    moved = b'<https://app.dev.local:8443/a.css>; rel=preload; title="<http://localhost:3000/>\\"", </b>, '
    assert origin().move_link(value) == moved + b"<https://app.dev.local:8443/c>"


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"</a>; title=x<http://localhost:3000/>",
        b'</a>; title="open, <http://localhost:3000/>',
        b"rel=next, <http://localhost:3000/>",
        b"<http://localhost:3000.evil.example/>; rel=next",
    ],
)
def test_a_link_that_is_none_stays(value: bytes) -> None:
    assert origin().move_link(value) == value


def test_a_port_is_not_confused_with_ipv6_colons() -> None:
    assert has_port(b"[::1]:8443")
    assert not has_port(b"[::1]")
    assert not has_port(b"app.dev.local")
    assert origin(b"[::1]:8443").move(b"http://[::1]/x") == b"https://[::1]:8443/x"


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
