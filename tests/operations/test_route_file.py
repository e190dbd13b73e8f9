"""What is typed, and what stands in the file for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from devtls.errors import ConfigError
from devtls.operations.route_file import RouteOptions, route_value

HERE, DIRECTORY = Path("/project/web"), Path("/project")


def value(target: str, **options: Any) -> Any:
    return route_value("app", target, RouteOptions(**options), here=HERE, directory=DIRECTORY)


@pytest.mark.parametrize(
    ("typed", "written"),
    [
        ("3000", 3000),
        (":3000", 3000),
        ("127.0.0.1:8000", "127.0.0.1:8000"),
        ("h2c://[::1]:5", "h2c://[::1]:5"),
        ("./site", "./web/site"),
        (".", "./web"),
        ("/srv/site", "/srv/site"),
        ("unix:app.sock", "unix:web/app.sock"),
        ("unix:/run/app.sock", "unix:/run/app.sock"),
    ],
)
def test_targets(typed: str, written: object) -> None:
    assert value(typed) == written


def test_options_make_a_table() -> None:
    typed = value("https://localhost:5", host="upstream", ca="corp.pem", hsts="keep", no_via=True, strip_prefix=True)
    assert typed == {
        "target": "https://localhost:5",
        "host": "upstream",
        "strip_prefix": True,
        "hsts": "keep",
        "ca": "web/corp.pem",
        "via": False,
    }
    asking = value("3000", client_auth="require", client_ca="clients.pem")
    assert asking == {"target": 3000, "client_auth": "require", "client_ca": "web/clients.pem"}
    assert value("https://localhost:5", no_verify=True) == {"target": "https://localhost:5", "verify": False}


def test_another_machine_must_be_meant() -> None:
    with pytest.raises(ConfigError, match="another machine") as caught:
        value("10.0.0.1:80")
    assert caught.value.hint == "If you mean it: devtls add app 10.0.0.1:80 --allow-remote"
    assert value("10.0.0.1:80", allow_remote=True) == {"target": "10.0.0.1:80", "allow_remote": True}


@pytest.mark.parametrize("typed", ["0", "site", "ftp://x", "169.254.1.1:80", "unix:@x"])
def test_what_is_no_target_is_refused(typed: str) -> None:
    with pytest.raises(ConfigError, match="command line: app: "):
        value(typed)


def test_cookies_and_waiting_are_written_as_they_were_asked_for() -> None:
    assert value("3000", cookie_domain="strip", retry_down_s=0.0) == {
        "target": 3000,
        "cookie_domain": "strip",
        "retry_down_s": 0.0,
    }
