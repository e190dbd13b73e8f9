"""Routes in the output of commands."""

from __future__ import annotations

from typing import Any

from devtls.cli.proxy.route_lines import route_lines
from devtls.web.control_messages import RouteStatus

NAMES = ("app.dev.local", "app.localhost")
URLS = tuple(f"https://{name}:8443" for name in NAMES)


def lines(*, details: bool = True, **facts: Any) -> list[str]:
    given: dict[str, Any] = {"name": "app", "hosts": NAMES, "urls": URLS, "target": "127.0.0.1:1", "source": "file"}
    return list(route_lines([RouteStatus(**given | facts)], details=details))


def test_a_route_is_one_line_and_the_name_that_opens_in_a_browser_comes_first() -> None:
    assert lines(url=URLS[1], health="up") == ["  https://app.localhost:8443  ->  127.0.0.1:1  up  also app.dev.local"]
    assert lines(url=URLS[1], health="up", details=False) == [
        "  https://app.localhost:8443  ->  127.0.0.1:1  also app.dev.local"
    ]


def test_a_route_that_nobody_serves_shows_its_names() -> None:
    assert lines(urls=(), details=False) == ["  app.dev.local  ->  127.0.0.1:1  also app.localhost"]
    assert lines(urls=(), url=NAMES[1], details=False) == ["  app.localhost  ->  127.0.0.1:1  also app.dev.local"]


def test_what_is_unusual_about_a_route_stands_on_one_line_below_it() -> None:
    shown = lines(
        health="down",
        reason="nothing listens there",
        active=1,
        last_error="cut\x1b",
        client_auth="require",
        source="temporary",
    )
    assert (
        shown[0] == "  https://app.dev.local:8443  ->  127.0.0.1:1  not up: nothing listens there  also app.localhost"
    )
    assert shown[1:] == [
        "      connections: 1 in use, 0 idle; last error: cut\\x1b; clients must show a certificate; for this run only"
    ]


def test_text_of_a_file_cannot_act_on_the_terminal() -> None:
    assert "\x1b" not in lines(target="/srv/\x1b]0;x")[0]
