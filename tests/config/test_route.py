"""Routes: key, options, the command line, and how both add up."""

from __future__ import annotations

import pytest

from devtls.config import (
    TEMPORARY,
    Config,
    RouteConfig,
    StaticTarget,
    TcpTarget,
    UnixTarget,
    merge,
    parse_config,
    parse_identity,
    parse_route_argument,
    parse_route_value,
)
from devtls.errors import ConfigError


def parse(text: str) -> Config:
    return parse_config(text.encode(), source="devtls.toml", directory="/project")


def route(line: str) -> RouteConfig:
    return parse("[routes]\n" + line).routes[0]


def refuse(line: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse("[routes]\n" + line)
    assert caught.value.line == 2
    assert caught.value.key.startswith("routes.")
    return caught.value


MANUAL = """
[routes]
app = 3000
"app/api" = "127.0.0.1:8000"
"*.app" = { target = 3000 }
api = { target = "https://10.0.0.5", allow_remote = true, host = "upstream", ca = "corp.pem", hsts = "keep", \
strip_prefix = true }
login = { target = 3001, cookie_domain = "strip", retry_down_s = 0 }
docs = { static = "site" }
sock = "unix:/run/app.sock"
"""


def test_the_file_of_the_manual() -> None:
    assert parse(MANUAL).routes == (
        RouteConfig("app", "/", TcpTarget("http", "", 3000)),
        RouteConfig("app", "/api", TcpTarget("http", "127.0.0.1", 8000)),
        RouteConfig("*.app", "/", TcpTarget("http", "", 3000)),
        RouteConfig(
            "api",
            "/",
            TcpTarget("https", "10.0.0.5", 443),
            allow_remote=True,
            host="upstream",
            ca="/project/corp.pem",
            hsts="keep",
            strip_prefix=True,
        ),
        RouteConfig("login", "/", TcpTarget("http", "", 3001), cookie_domain="strip", retry_down_s=0.0),
        RouteConfig("docs", "/", StaticTarget("/project/site")),
        RouteConfig("sock", "/", UnixTarget("/run/app.sock")),
    )


def test_a_route_knows_where_it_was_written() -> None:
    first, second, *_ = parse(MANUAL).routes
    assert (first.key, first.line, first.source) == ("app", 3, "devtls.toml")
    assert (second.key, second.line, second.source) == ("app/api", 4, "devtls.toml")


def test_moving_a_route_in_the_file_does_not_change_it() -> None:
    first, second = route("app = 3000"), route("\n\napp = 3000")
    assert first == second
    assert hash(first) == hash(second)


@pytest.mark.parametrize(
    ("key", "name", "prefix"),
    [
        ("App", "app", "/"),
        ("app/", "app", "/"),
        ("app/api/v1", "app", "/api/v1"),
        ("app/api/", "app", "/api"),
        ("app/A%20b~.:@-", "app", "/A%20b~.:@-"),
        ("*.App.test/x", "*.app.test", "/x"),
        ("bücher", "xn--bcher-kva", "/"),
    ],
)
def test_keys_are_normalised(key: str, name: str, prefix: str) -> None:
    assert route(f'"{key}" = 1').identity == (name, prefix)


@pytest.mark.parametrize(
    "key",
    ["", "a b", "a+b", "*", "a.*", "127.0.0.1", "app//", "app//x", "app/..", "app/./x", "app/x?y", "app/x#y", "app/ä"],
)
def test_keys_that_are_no_name_and_path_are_refused(key: str) -> None:
    assert refuse(f'"{key}" = 1').hint or key == "127.0.0.1" or not key


@pytest.mark.parametrize(
    ("lines", "line"),
    [
        ("app = 1\nApp = 2", 3),
        ('app = 1\n"app/" = 2', 3),
        ('"app/x" = 1\nb = 2\n"app/x/" = 3', 4),
        ('"bücher" = 1\nxn--bcher-kva = 2', 3),
    ],
)
def test_the_same_route_twice_is_refused(lines: str, line: int) -> None:
    with pytest.raises(ConfigError, match="same route as") as caught:
        parse("[routes]\n" + lines)
    assert caught.value.line == line


@pytest.mark.parametrize(
    ("line", "key", "why"),
    [
        ("app = 0", "routes.app", "no port"),
        ("app = 70000", "routes.app", "no port"),
        ("app = 0x" + "f" * 5000, "routes.app", "no port"),
        ("app = true", "routes.app", "no target"),
        ("app = [3000]", "routes.app", "no target"),
        ("app = 3000.0", "routes.app", "no target"),
        ('app = ""', "routes.app", "neither"),
        ("app = {}", "routes.app", "either a target or a static"),
        ('app = { target = 1, static = "x" }', "routes.app", "either a target or a static"),
        ("app = { target = [] }", "routes.app.target", "no target"),
        ('app = { static = "" }', "routes.app.static", "no text"),
        ('app = { static = "~/x" }', "routes.app.static", "not expanded"),
        ("app = { static = 1 }", "routes.app.static", "no text"),
        ('app = { target = 1, verify = "no" }', "routes.app.verify", "neither true nor false"),
        ('app = { target = 1, host = "other" }', "routes.app.host", "not possible"),
        ("app = { target = 1, hsts = true }", "routes.app.hsts", "not possible"),
        ("app = { target = 1, cookie_domain = true }", "routes.app.cookie_domain", "not possible"),
        ("app = { target = 1, retry_down_s = 61 }", "routes.app.retry_down_s", "out of range"),
        ('app = { target = 1, retry_down_s = "2" }', "routes.app.retry_down_s", "no number of seconds"),
        ('app = { static = "x", retry_down_s = 1 }', "routes.app.retry_down_s", "static folder"),
        ('app = { static = "x", cookie_domain = "strip" }', "routes.app.cookie_domain", "static folder"),
        ('app = { target = 1, ca = "x" }', "routes.app.ca", "https:// and h2:// targets only"),
        ("app = { target = 1, verify = false }", "routes.app.verify", "https:// and h2:// targets only"),
        ('app = { target = "https://localhost", ca = "" }', "routes.app.ca", "no text"),
        ('app = { target = "https://localhost", ca = "~/x" }', "routes.app.ca", "not expanded"),
        ('app = { target = "https://localhost", ca = "x", verify = false }', "routes.app.verify", "contradict"),
        ("app = { target = 1, spa = true }", "routes.app.spa", "static folder only"),
        ("app = { target = 1, listing = false }", "routes.app.listing", "static folder only"),
        ("app = { target = 1, dotfiles = true }", "routes.app.dotfiles", "static folder only"),
        ('app = { static = "x", spa = "yes" }', "routes.app.spa", "neither true nor false"),
        ('app = { static = "x", host = "keep" }', "routes.app.host", "static folder"),
        ('app = { static = "x", allow_remote = true }', "routes.app.allow_remote", "static folder"),
        ('app = { static = "x", verify = true }', "routes.app.verify", "https:// and h2:// targets only"),
        ("app = { target = 1, client_auth = true }", "routes.app.client_auth", "not possible"),
        ('app = { target = 1, client_ca = "x" }', "routes.app.client_ca", "not asked for a certificate"),
        ('app = { target = 1, client_auth = "off", client_ca = "x" }', "routes.app.client_ca", "not asked"),
        ('app = { target = 1, client_auth = "require", client_ca = 1 }', "routes.app.client_ca", "no text"),
        ("app = { targt = 1 }", "routes.app.targt", "no option 'targt'"),
        ('app = { target = "unix:x", verify = true }', "routes.app.verify", "https:// and h2:// targets only"),
    ],
)
def test_what_a_route_cannot_be(line: str, key: str, why: str) -> None:
    error = refuse(line)
    assert error.key == key
    assert why in str(error)
    assert error.hint


@pytest.mark.parametrize("target", ["10.0.0.5:80", "https://example.com", "[2001:db8::1]:80", "http://db"])
def test_another_machine_needs_allow_remote(target: str) -> None:
    error = refuse(f'app = "{target}"')
    assert "another machine" in str(error)
    assert "allow_remote = true" in error.hint
    assert route(f'app = {{ target = "{target}", allow_remote = true }}').allow_remote


def test_link_local_targets_stay_refused_with_allow_remote() -> None:
    assert "always refused" in str(refuse('app = { target = "169.254.169.254:80", allow_remote = true }'))


@pytest.mark.parametrize("target", ["3000", "localhost:80", "127.9.9.9:80", "[::1]:80", "https://app.localhost"])
def test_loopback_needs_no_permission(target: str) -> None:
    assert not route(f'app = "{target}"').allow_remote


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("app.dev.local = 3000", '"app.dev.local"'),
        ("app.dev.local = { target = 3000 }", '"app.dev.local'),
        ("app.local = 3000", '"app.local"'),
        ("app.x.y = { a = 1, b = 2 }", '"app.x.y"'),
    ],
)
def test_a_dotted_name_without_quotes_is_explained(line: str, hint: str) -> None:
    assert hint in refuse(line).hint


def test_a_misspelt_option_comes_with_a_guess() -> None:
    assert refuse("app = { target = 1, strip_prefx = true }").hint == "Did you mean strip_prefix?"


def test_clients_can_be_asked_for_a_certificate() -> None:
    assert (route("app = 1").client_auth, route("app = 1").client_ca) == ("off", None)
    asking = route('app = { static = "site", client_auth = "request", client_ca = "team.pem" }')
    assert (asking.client_auth, asking.client_ca) == ("request", "/project/team.pem")
    assert route('app = { target = 1, client_auth = "require" }') != route(
        'app = { target = 1, client_auth = "request" }'
    )


def test_every_switch_can_be_written() -> None:
    written = route(
        'app = { target = "https://localhost", verify = false, via = false, host = "keep", hsts = "strip" }'
    )
    assert (written.verify, written.via, written.host, written.hsts) == (False, False, "keep", "strip")


@pytest.mark.parametrize(
    ("argument", "name", "prefix", "target"),
    [
        ("app=3000", "app", "/", TcpTarget("http", "", 3000)),
        ("app/api=127.0.0.1:8000", "app", "/api", TcpTarget("http", "127.0.0.1", 8000)),
        ("*.app=3000", "*.app", "/", TcpTarget("http", "", 3000)),
        ("docs=./site", "docs", "/", StaticTarget("/here/site")),
        ("sock=unix:/run/a=b.sock", "sock", "/", UnixTarget("/run/a=b.sock")),
        ("app.dev.local=https://localhost", "app.dev.local", "/", TcpTarget("https", "localhost", 443)),
    ],
)
def test_route_arguments(argument: str, name: str, prefix: str, target: TcpTarget) -> None:
    written = parse_route_argument(argument, directory="/here")
    assert written == RouteConfig(name, prefix, target)
    assert (written.source, written.line, written.key) == ("command line", 0, argument.partition("=")[0])


def test_another_machine_needs_a_word_on_the_command_line_too() -> None:
    with pytest.raises(ConfigError, match=r"api: the target 192\.168\.1\.4 is another machine") as caught:
        parse_route_argument("api=192.168.1.4:3000")
    assert caught.value.hint == "If you mean it: devtls serve api=192.168.1.4:3000 --allow-remote"
    assert parse_route_argument("api=https://example.com", allow_remote=True).allow_remote
    assert not parse_route_argument("api=3000", allow_remote=True).allow_remote
    with pytest.raises(ConfigError, match="always refused"):
        parse_route_argument("api=http://169.254.169.254", allow_remote=True)


@pytest.mark.parametrize(
    ("argument", "hint"),
    [
        ("3000", "A target needs a name in front of it: devtls serve my-shop=3000"),
        (":3000", "A target needs a name in front of it: devtls serve my-shop=:3000"),
        ("=3000", "A target needs a name in front of it: devtls serve my-shop=3000"),
        ("127.0.0.1:3000", "A target needs a name in front of it: devtls serve my-shop=127.0.0.1:3000"),
        ("./site", "A target needs a name in front of it: devtls serve my-shop=./site"),
        ("http://localhost:1", "A target needs a name in front of it: devtls serve my-shop=http://localhost:1"),
        ("app:3000", "devtls serve app=3000"),
        ("app", "devtls serve app=3000, where 3000 is the port of your app"),
        ("app/api", "devtls serve app/api=3000, where 3000 is the port of your app"),
        ("*.app", "devtls serve '*.app=3000', where 3000 is the port of your app"),
        ("a+b", "Write NAME=TARGET, such as app=3000 or app/api=127.0.0.1:8000."),
    ],
)
def test_an_argument_without_a_name_or_a_target_is_completed(argument: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_route_argument(argument, directory="/home/me/My_Shop")
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("app = { port = 3000 }", "Did you mean target?"),
        ('app = { root = "./site" }', "Did you mean static?"),
        ('app = { target = 1, host = "localhost:3000" }', 'Where the app is, says target = "localhost:3000".'),
    ],
)
def test_words_of_other_programs_are_understood(line: str, hint: str) -> None:
    assert refuse(line).hint.startswith(hint)


@pytest.mark.parametrize("argument", ["app", "=3000", "app=", "", "app 3000"])
def test_an_argument_that_is_no_route_shows_how_one_looks(argument: str) -> None:
    with pytest.raises(ConfigError, match="is no route") as caught:
        parse_route_argument(argument)
    assert "app=3000" in caught.value.hint


@pytest.mark.parametrize("argument", ["a+b=1", "app=0", "app=site", "app/..=1"])
def test_a_wrong_argument_names_its_key(argument: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_route_argument(argument)
    assert caught.value.key
    assert caught.value.source == "command line"


def test_file_and_command_line_add_up_and_the_command_line_wins() -> None:
    file = parse('[routes]\napp = 1\n"App/api" = 2\nb = 3')
    merged = merge(file, [parse_route_argument("APP=9"), parse_route_argument("c=4")])
    assert [(route.name, route.path_prefix, route.source) for route in merged.config.routes] == [
        ("app", "/api", "devtls.toml"),
        ("b", "/", "devtls.toml"),
        ("app", "/", "command line"),
        ("c", "/", "command line"),
    ]
    assert merged.overridden == ("app",)
    assert merged.config.source == "devtls.toml"


def test_the_same_argument_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="given twice"):
        merge(Config(), [parse_route_argument("app=1"), parse_route_argument("App=2")])


def test_one_route_is_read_as_in_a_file() -> None:
    route = parse_route_value("app/api", {"target": "unix:x", "via": False}, directory="/here", source=TEMPORARY)
    assert route.target == UnixTarget("/here/x")
    assert (route.identity, route.via, route.source, route.line) == (("app", "/api"), False, TEMPORARY, 0)
    with pytest.raises(ConfigError, match=f"{TEMPORARY}: routes.app: 0 is no port"):
        parse_route_value("app", 0, directory="/here", source=TEMPORARY)


def test_a_name_is_known_in_every_spelling() -> None:
    assert parse_identity("App/api/") == parse_identity("app/api") == ("app", "/api")
    with pytest.raises(ConfigError, match="is not a host name"):
        parse_identity("a b")


def test_the_options_of_a_static_directory_belong_to_its_target() -> None:
    site = route('app = { static = "site", spa = true, dotfiles = true }')
    assert site.target == StaticTarget("/project/site", dotfiles=True, spa=True)
    assert route('app = { target = "./site", listing = true }').target == StaticTarget("/project/site", listing=True)
