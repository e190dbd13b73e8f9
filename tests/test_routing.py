"""Which route answers a request, where it dials, and when a request is refused."""

from __future__ import annotations

import pytest

from devtls.config import Config, StaticTarget, parse_config, parse_route_argument
from devtls.errors import ConfigError
from devtls.http.terms import ForwardPolicy
from devtls.names import DEFAULT_ZONES, Hostname
from devtls.routing import (
    ClientAuth,
    NoRoute,
    Route,
    RouteTable,
    Snapshot,
    Upstream,
    UpstreamTls,
    build_routes,
    host_of,
    select,
)

SITE = StaticTarget("/project/site")


def config(routes: str) -> Config:
    return parse_config(f"[routes]\n{routes}".encode(), source="devtls.toml", directory="/project")


def table(routes: str, zones: tuple[Hostname, ...] = DEFAULT_ZONES) -> RouteTable:
    return build_routes(config(routes), zones, static_sockets={SITE: "/run/static-1.sock"})


def only(routes: str) -> Route:
    (route,) = table(routes).routes
    return route


def key(route: Route | NoRoute | None) -> str | None:
    return route.config.key if isinstance(route, Route) else None


def test_a_short_name_is_served_in_every_zone() -> None:
    routes = table("app = 3000")
    for host in ("app.dev.local", "app.localhost", "app.test"):
        assert key(routes.match(host, b"/")) == "app"
    for host in ("app", "dev.local", "x.app.test", "myapp.test", "app.test.example.com", ""):
        assert routes.match(host, b"/") is None
    assert routes.exact_hosts() == {"app.dev.local", "app.localhost", "app.test"}


def test_a_dotted_name_is_taken_as_it_stands() -> None:
    routes = table('"api.app.test" = 3000\n"dev.local" = 3001')
    assert key(routes.match("api.app.test", b"/")) == "api.app.test"
    assert key(routes.match("dev.local", b"/")) == "dev.local"
    assert routes.match("api.app.dev.local", b"/") is None


def test_a_name_with_dots_that_is_in_no_zone_is_short_as_well() -> None:
    """With or without a route `web`: one that goes must not make this one invalid."""
    for written in ('"fix-ui.web" = 3000', '"web" = 1\n"*.web" = 2\n"fix-ui.web" = 3000'):
        routes = table(written)
        for host in ("fix-ui.web.dev.local", "fix-ui.web.localhost", "fix-ui.web.test"):
            assert key(routes.match(host, b"/")) == "fix-ui.web"
        assert routes.match("fix-ui.web", b"/") is None
    assert key(table('"*.fix-ui.web" = 3000').match("a.fix-ui.web.test", b"/")) == "*.fix-ui.web"


def test_a_name_in_full_beats_a_short_one_with_dots() -> None:
    routes = table('"a.web" = 1\n"a.web.test" = 2')
    assert key(routes.match("a.web.test", b"/")) == "a.web.test"
    assert key(routes.match("a.web.localhost", b"/")) == "a.web"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("app.example.com", "As a short name, write it in full: app.example.com.dev.local. A new zone needs"),
        ("app.de", "As a short name, write it in full: app.de.dev.local."),
        ("app.dev", "Did you mean app.dev.local? As a short name, write it in full: app.dev.dev.local."),
        ("app.dev.lokal", "Did you mean app.dev.local?"),
        ("*.app.localhst", "Did you mean app.localhost?"),
    ],
)
def test_a_short_name_with_dots_that_looks_like_one_in_full_is_explained(name: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        table(f'"{name}" = 3000')
    assert caught.value.hint.startswith(hint)


@pytest.mark.parametrize("name", ["app.example.com", "*.example.com", "app.internal"])
def test_a_name_outside_the_zones_is_refused_with_its_place(name: str) -> None:
    with pytest.raises(ConfigError, match="none of the CA's zones") as caught:
        table(f'a = 1\n"{name}" = 3000')
    assert (caught.value.source, caught.value.key, caught.value.line) == ("devtls.toml", f'routes."{name}"', 3)
    assert "devtls ca renew --zone" in caught.value.hint


def test_a_wrong_argument_is_refused_with_its_key() -> None:
    wrong = Config(routes=(parse_route_argument("app.example.com=1"),))
    with pytest.raises(ConfigError) as caught:
        build_routes(wrong, DEFAULT_ZONES, static_sockets={})
    assert (caught.value.source, caught.value.key, caught.value.line) == ("command line", "app.example.com", 0)


def test_a_name_that_grows_too_long_in_a_zone_is_refused() -> None:
    zone = Hostname(".".join(["a" * 60] * 4))
    with pytest.raises(ConfigError, match="253") as caught:
        table("x" * 20 + " = 1", (zone,))
    assert caught.value.line == 2


def test_localhost_is_the_host_itself_and_its_addresses() -> None:
    routes = table("localhost = 3000")
    for host in ("localhost", "127.0.0.1", "::1"):
        assert key(routes.match(host, b"/")) == "localhost"
    assert routes.match("localhost.dev.local", b"/") is None
    assert routes.exact_hosts() == {"localhost"}
    assert routes.routes[0].urls(443) == ("https://localhost",)


def test_a_wildcard_serves_everything_below_and_not_the_name_itself() -> None:
    routes = table('"*.app" = 3000')
    assert key(routes.match("x.app.test", b"/")) == "*.app"
    assert key(routes.match("a.b.c.app.dev.local", b"/")) == "*.app"
    assert routes.match("app.test", b"/") is None
    assert routes.match("xapp.test", b"/") is None
    assert routes.exact_hosts() == frozenset()


def test_the_longest_suffix_wins_and_an_exact_name_beats_it() -> None:
    routes = table('"*.test" = 1\n"*.app" = 2\n"*.x.app.test" = 3\n"y.app.test" = 4\n"*.localhost" = 5')
    assert key(routes.match("other.test", b"/")) == "*.test"
    assert key(routes.match("app.test", b"/")) == "*.test"
    assert key(routes.match("z.app.test", b"/")) == "*.app"
    assert key(routes.match("a.x.app.test", b"/")) == "*.x.app.test"
    assert key(routes.match("y.app.test", b"/")) == "y.app.test"
    assert key(routes.match("q.localhost", b"/")) == "*.localhost"
    assert routes.match("test", b"/") is None
    assert routes.match("test.dev.local", b"/") is None


def test_an_app_may_have_the_name_of_a_zone() -> None:
    assert only("test = 1").hosts == ("test.dev.local", "test.localhost", "test.test")


@pytest.mark.parametrize(
    ("path", "winner"),
    [
        (b"/", "app"),
        (b"/apix", "app"),
        (b"/ap", "app"),
        (b"/API", "app"),
        (b"/x/api", "app"),
        (b"*", "app"),
        (b"/api", "app/api"),
        (b"/api/", "app/api"),
        (b"/api/x", "app/api"),
        (b"/api?x=/api/v1", "app/api"),
        (b"/api/v11", "app/api"),
        (b"/api/v1", "app/api/v1"),
        (b"/api/v1/x", "app/api/v1"),
        (b"/api/v1?x", "app/api/v1"),
        (b"/api//v1", "app/api"),
    ],
)
def test_the_longest_prefix_by_whole_segments_wins(path: bytes, winner: str) -> None:
    for routes in ('app = 1\n"app/api" = 2\n"app/api/v1" = 3', '"app/api/v1" = 3\n"app/api" = 2\napp = 1'):
        assert key(table(routes).match("app.test", path)) == winner


def test_a_path_that_the_exact_name_does_not_serve_may_be_a_wildcards() -> None:
    routes = table('"a.app.test/api" = 1\n"*.app/x" = 2\n"*.test" = 3')
    assert key(routes.match("a.app.test", b"/api")) == "a.app.test/api"
    assert key(routes.match("a.app.test", b"/x/y")) == "*.app/x"
    assert key(routes.match("a.app.test", b"/")) == "*.test"
    assert routes.match("a.app.dev.local", b"/") is None


def test_a_path_that_nobody_serves_is_nobodys() -> None:
    assert table('"app/api" = 1').match("app.test", b"/other") is None


def test_a_name_in_full_takes_its_host_from_a_short_one() -> None:
    for lines in ('app = 1\n"app.test" = 2', '"app.test" = 2\napp = 1'):
        routes = table(lines)
        assert key(routes.match("app.test", b"/")) == "app.test"
        assert key(routes.match("app.localhost", b"/")) == "app"
        hosts = {route.name: route.hosts for route in routes.routes}
        assert hosts == {"app": ("app.dev.local", "app.localhost"), "app.test": ("app.test",)}


def test_whether_a_name_is_routed_at_all() -> None:
    routes = table('"app/api" = 1\n"*.x" = 2')
    assert routes.serves("app.test")
    assert routes.serves("a.b.x.localhost")
    assert not routes.serves("x.test")
    assert not routes.serves("other.test")
    assert not RouteTable().serves("app.test")


def test_urls_are_what_a_person_types() -> None:
    assert only("app = 1").urls(443) == ("https://app.dev.local", "https://app.localhost", "https://app.test")
    assert only('"a.test/api" = 1').urls(8443) == ("https://a.test:8443/api",)
    assert only('"*.a.test" = 1').urls(443) == ("https://*.a.test",)


LOCAL = (("127.0.0.1", 3000), ("::1", 3000))


@pytest.mark.parametrize(
    ("target", "upstream"),
    [
        ("3000", Upstream(LOCAL, "localhost", 3000, "", None, "127.0.0.1:3000")),
        ('"localhost:3000"', Upstream(LOCAL, "localhost", 3000, "", None, "localhost:3000")),
        ('"app.localhost:3000"', Upstream(LOCAL, "app.localhost", 3000, "", None, "app.localhost:3000")),
        ('"127.0.0.1:8000"', Upstream((("127.0.0.1", 8000),), "127.0.0.1", 8000, "", None, "127.0.0.1:8000")),
        ('"[::1]:8000"', Upstream((("::1", 8000),), "::1", 8000, "", None, "[::1]:8000")),
        ('"unix:/run/app.sock"', Upstream((), "", 0, "/run/app.sock", None, "unix:/run/app.sock")),
        ('{ static = "site" }', Upstream((), "", 0, "/run/static-1.sock", None, "static site")),
        (
            '{ target = "https://db.example", allow_remote = true }',
            Upstream((), "db.example", 443, "", UpstreamTls("db.example", None, True), "https://db.example:443"),
        ),
        (
            '{ target = "https://10.0.0.5:8443", allow_remote = true, ca = "ca.pem" }',
            Upstream(
                (("10.0.0.5", 8443),),
                "10.0.0.5",
                8443,
                "",
                UpstreamTls("10.0.0.5", "/project/ca.pem", True),
                "https://10.0.0.5:8443",
            ),
        ),
        (
            '{ target = "https://127.0.0.1:8443", verify = false }',
            Upstream(
                (("127.0.0.1", 8443),),
                "127.0.0.1",
                8443,
                "",
                UpstreamTls("127.0.0.1", None, False),
                "https://127.0.0.1:8443",
            ),
        ),
    ],
)
def test_where_a_target_is_dialled(target: str, upstream: Upstream) -> None:
    assert only(f"app = {target}").upstream == upstream


def test_routes_to_the_same_place_share_one_upstream() -> None:
    assert len({route.upstream for route in table('app = 3000\n"*.app" = 3000\nb = 3001').routes}) == 2


@pytest.mark.parametrize(
    ("target", "policy"),
    [
        (
            "3000",
            ForwardPolicy(origins=(b"http://localhost:3000", b"http://127.0.0.1:3000", b"http://[::1]:3000")),
        ),
        (
            '{ target = "http://127.0.0.2", host = "upstream" }',
            ForwardPolicy(
                host=b"127.0.0.2",
                origins=(
                    b"http://127.0.0.2",
                    b"http://127.0.0.2:80",
                    b"http://localhost",
                    b"http://localhost:80",
                    b"http://127.0.0.1",
                    b"http://127.0.0.1:80",
                    b"http://[::1]",
                    b"http://[::1]:80",
                ),
            ),
        ),
        (
            '{ target = "https://db.example", allow_remote = true, host = "upstream", hsts = "keep", via = false }',
            ForwardPolicy(
                host=b"db.example",
                origins=(b"https://db.example", b"https://db.example:443"),
                keep_hsts=True,
                via=False,
            ),
        ),
        ('"unix:/x"', ForwardPolicy(origins=(b"http://localhost",))),
        ('{ target = "unix:/x", host = "upstream" }', ForwardPolicy(host=b"localhost", origins=(b"http://localhost",))),
        ('{ static = "site" }', ForwardPolicy()),
    ],
)
def test_how_messages_are_edited(target: str, policy: ForwardPolicy) -> None:
    assert only(f"app = {target}").policy == policy


def test_the_host_of_a_bare_port_is_localhost_with_the_port() -> None:
    assert only('app = { target = 3000, host = "upstream" }').policy.host == b"localhost:3000"


def test_a_prefix_is_stripped_when_there_is_one() -> None:
    assert only('"app/api" = { target = 1, strip_prefix = true }').policy.strip_prefix == b"/api"
    assert only("app = { target = 1, strip_prefix = true }").policy.strip_prefix == b""
    assert only('"app/api" = 1').policy.strip_prefix == b""


def test_trust_forwarded_is_for_all_routes() -> None:
    trusting = parse_config(b"serve.trust_forwarded = true\nroutes.a = 1", source="devtls.toml", directory="/")
    (route,) = build_routes(trusting, DEFAULT_ZONES, static_sockets={}).routes
    assert route.policy.trust_forwarded


@pytest.mark.parametrize(
    ("authority", "host"),
    [
        (b"app.test", "app.test"),
        (b"app.test:8443", "app.test"),
        (b"app.test.", "app.test"),
        (b"app.test.:443", "app.test"),
        (b"127.0.0.1:443", "127.0.0.1"),
        (b"[::1]", "::1"),
        (b"[::1]:443", "::1"),
        (b"", ""),
        (b"\xff", "ÿ"),
    ],
)
def test_the_host_of_an_authority(authority: bytes, host: str) -> None:
    assert host_of(authority) == host


ROUTES = table("app = 1\nother = 2\nlocalhost = 3")
WITHOUT_LOCALHOST = table("app = 1")


@pytest.mark.parametrize(
    ("sni", "authority", "answer"),
    [
        ("app.test", b"app.test", "app"),
        ("app.test", b"app.test:8443", "app"),
        ("app.test", b"app.test.", "app"),
        ("app.test", b"app.localhost", NoRoute.MISDIRECTED),
        ("app.test", b"other.test", NoRoute.MISDIRECTED),
        ("app.test", b"127.0.0.1", NoRoute.MISDIRECTED),
        ("app.test", b"", NoRoute.MISDIRECTED),
        ("nobody.test", b"nobody.test", NoRoute.UNKNOWN),
        ("nobody.test", b"app.test", NoRoute.MISDIRECTED),
        ("localhost", b"localhost:8443", "localhost"),
        (None, b"localhost", "localhost"),
        (None, b"127.0.0.1:8443", "localhost"),
        (None, b"[::1]:8443", "localhost"),
        (None, b"app.test", NoRoute.MISDIRECTED),
        (None, b"", NoRoute.MISDIRECTED),
        (None, b"127.0.0.2", NoRoute.MISDIRECTED),
    ],
)
def test_sni_and_host_must_agree(sni: str | None, authority: bytes, answer: str | NoRoute) -> None:
    selected = select(ROUTES, sni=sni, authority=authority, path=b"/")
    assert (key(selected) or selected) == answer


def test_without_sni_and_without_a_localhost_route_there_is_no_default_app() -> None:
    for authority in (b"localhost", b"127.0.0.1", b"[::1]"):
        assert select(WITHOUT_LOCALHOST, sni=None, authority=authority, path=b"/") is NoRoute.UNKNOWN


def test_a_snapshot_is_one_generation() -> None:
    generation = Snapshot(config("app = 1"), ROUTES, DEFAULT_ZONES)
    assert generation.routes is ROUTES


SAFE = 'client_auth = "require"'


def test_what_clients_of_a_name_have_to_show() -> None:
    routes = table(
        f"""safe = {{ target = 1, {SAFE} }}
        "safe/api" = {{ target = 2, {SAFE} }}
        "*.safe" = {{ target = 1, client_auth = "request", client_ca = "team.pem" }}
        "b.safe.test" = 3
        open = 4
        localhost = {{ target = 5, {SAFE} }}"""
    )
    ours, team = ClientAuth(True, None), ClientAuth(False, "/project/team.pem")
    asked = {
        ours: ("safe.dev.local", "safe.test", "localhost", "127.0.0.1", "::1"),
        team: ("a.safe.test", "a.b.safe.dev.local", "a.b.safe.test"),
        None: ("b.safe.test", "open.test", "test", "none.test"),
    }
    for expected, hosts in asked.items():
        assert {host: routes.client_auth(host) for host in hosts} == dict.fromkeys(hosts, expected)
    assert routes.client_auths == {ours, team}
    assert table("open = 1").client_auth("open.test") is None


@pytest.mark.parametrize(
    ("lines", "line", "host"),
    [
        (f'"app/api" = {{ target = 1, {SAFE} }}\napp = 2', 3, "app.dev.local"),
        (f'app = {{ target = 1, {SAFE} }}\n"app/api" = {{ target = 1, client_auth = "request" }}', 3, "app.dev.local"),
        (f'app = {{ target = 1, {SAFE} }}\n"app/api" = {{ target = 1, {SAFE}, client_ca = "x" }}', 3, "app.dev.local"),
        (f'"*.app/api" = 1\n"*.app" = {{ target = 1, {SAFE} }}', 3, "*.app.dev.local"),
        # A path that the nearer name does not serve goes to the wildcard above it.
        (f'"*.app" = {{ target = 1, {SAFE} }}\n"a.app.test/api" = 2', 3, "a.app.test"),
        (f'"*.b.app.test/api" = {{ target = 1, {SAFE} }}\n"*.app" = 1', 3, "*.b.app.test"),
        (f'"app.test/api" = {{ target = 1, {SAFE} }}\napp = 1', 3, "app.test"),
    ],
)
def test_two_routes_of_a_name_that_ask_differently_are_refused(lines: str, line: int, host: str) -> None:
    with pytest.raises(ConfigError, match="do not ask its clients for the same certificate") as caught:
        table(lines)
    assert caught.value.line == line
    assert f"answer for {host} and" in str(caught.value)
    assert caught.value.hint


def test_a_nearer_name_that_serves_every_path_asks_for_itself() -> None:
    routes = table(f'"*.app" = {{ target = 1, {SAFE} }}\n"a.app.test" = 2\n"*.b.app.test" = 3')
    assert routes.client_auth("a.app.test") is None
    assert routes.client_auth("x.b.app.test") is None
    assert routes.client_auth("b.app.test") == ClientAuth(True, None)
