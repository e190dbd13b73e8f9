"""The texts of the page for a name without a route."""

from __future__ import annotations

import json
import re

import pytest

from devtls.http.answers.pages import RouteLine, not_found
from devtls.names import DEFAULT_ZONES, Hostname

BROWSER = b"text/html"
APP = RouteLine(
    "https://app.dev.local:8443",
    "127.0.0.1:5173",
    ("https://app.localhost:8443", "https://app.test:8443"),
)
SHOP = RouteLine("https://shop.dev.local:8443/api", "https://shop.corp:443", ("https://shop.localhost:8443/api",))
WILD = RouteLine("https://*.web.dev.local:8443", "127.0.0.1:3000", ("https://*.web.localhost:8443",))
ROUTES = (APP, SHOP, WILD)
FILE = "/home/me/shop/devtls.toml"


def text(host: str, *routes: RouteLine, file: str = "", zones: tuple[Hostname, ...] = DEFAULT_ZONES) -> str:
    return not_found(host, routes, b"", zones, file).body.decode()


def page(host: str, *routes: RouteLine) -> str:
    return not_found(host, routes, BROWSER).body.decode()


def test_the_advice_works_while_devtls_serve_runs() -> None:
    told = text("new.dev.local", *ROUTES)
    assert "`devtls add new 3000 --temporary`, where 3000 is the port of your app. It lasts as long as" in told
    assert "devtls serve new" not in told


def test_the_advice_names_the_directory_of_the_file() -> None:
    assert "`devtls add new 3000`, where 3000 is the port of your app. Run it in `/home/me/shop`, where" in text(
        "new.dev.local", APP, file=FILE
    )
    assert "Run it in `/`, where" in text("new.test", file="/devtls.toml")
    assert "Run it in `C:\\me`, where" in text("new.test", file="C:\\me\\devtls.toml")


def test_a_file_of_another_name_has_to_be_named() -> None:
    assert "`devtls add new 3000 --config /srv/my-routes.toml`, where 3000 is the port of your app.\n" in text(
        "new.test", file="/srv/my-routes.toml"
    )
    assert "--config '/it'\\''s here/x.toml'`" in text("new.test", file="/it's here/x.toml")


def test_advice_comes_before_the_routes() -> None:
    for told in (page("new.dev.local", *ROUTES), text("new.dev.local", *ROUTES)):
        assert told.index("devtls add new 3000") < told.index("The routes are:") < told.index("127.0.0.1:5173")


def test_each_route_is_listed_once_with_all_of_its_names() -> None:
    rows = re.findall("<li>(.*?)</li>", page("new.dev.local", *ROUTES))
    assert len(rows) == 3
    assert rows[0] == (
        '<span><a href="https://app.dev.local:8443">https://app.dev.local:8443</a></span><span>127.0.0.1:5173</span>'
        '<small>also <a href="https://app.localhost:8443">app.localhost</a>, '
        '<a href="https://app.test:8443">app.test</a></small>'
    )
    assert '<a href="https://shop.localhost:8443/api">shop.localhost/api</a>' in rows[1]
    assert "<a" not in rows[2]


@pytest.mark.parametrize(
    ("host", "first"),
    [
        ("new.localhost", "https://app.localhost:8443"),
        ("new.test", "https://app.test:8443"),
        ("127.0.0.1", "https://app.localhost:8443"),
        ("new.dev.local", "https://app.dev.local:8443"),
    ],
)
def test_the_names_of_the_zone_that_was_just_opened_come_first(host: str, first: str) -> None:
    assert page(host, APP).partition("<li>")[2].startswith(f'<span><a href="{first}">')


def test_programs_get_each_route_once_too() -> None:
    facts = json.loads(not_found("new.dev.local", ROUTES, b"application/json").body)
    assert facts["routes"][0] == {"url": APP.url, "target": APP.target, "urls": list(APP.urls)}
    assert len(facts["routes"]) == 3


def test_a_name_below_a_served_one_is_offered_a_wildcard() -> None:
    told = text("fix-ui.app.dev.local", *ROUTES)
    assert "For every name below `app`: `devtls add '*.app' 5173 --temporary`." in told
    assert "For this one: `devtls add fix-ui.app 3000 --temporary`, where 3000 is the port of its app." in told
    assert "`devtls add '*.shop' 3000 --temporary`" in text("a.b.shop.localhost", *ROUTES)
    assert "every name below" not in text("web.dev.local", *ROUTES)
    assert "every name below" not in text("app.localhost", RouteLine("https://localhost", "127.0.0.1:1"))


@pytest.mark.parametrize(
    ("host", "meant"),
    [
        ("ap.dev.local", "https://app.dev.local:8443"),
        ("appp.localhost", "https://app.localhost:8443"),
        ("shp.dev.local", "https://shop.dev.local:8443/api"),
    ],
)
def test_a_near_miss_is_asked_about(host: str, meant: str) -> None:
    assert f"Did you mean {meant}?" in text(host, *ROUTES)
    assert f'<p>Did you mean <a href="{meant}">{meant}</a>?</p>' in page(host, *ROUTES)


@pytest.mark.parametrize("host", ["docs.dev.local", "shop.dev.local", "x.app.dev.local", "", "127.0.0.1"])
def test_a_name_of_its_own_is_not_guessed_about(host: str) -> None:
    """`shop.dev.local` itself has a route, for other paths."""
    assert "Did you mean" not in text(host, *ROUTES)


def test_many_routes_are_cut() -> None:
    many = [RouteLine(f"https://a{number}.test", "127.0.0.1:1") for number in range(203)]
    assert text("new.test", *many).endswith("a199.test (127.0.0.1:1), … and 3 more (devtls list shows them all).\n")


def test_a_zone_that_is_a_name_itself_is_named_whole() -> None:
    assert "`devtls add dev.local 3000 --temporary`" in text("dev.local")
