"""What a file that was found by searching may do by itself, and what a person must allow."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from devtls.config import AllowanceReason, StaticTarget, needs_allow, parse_config, private_routes


def reasons(line: str, links: dict[str, str] | None = None) -> list[AllowanceReason]:
    config = parse_config(f"[routes]\n{line}".encode(), source="devtls.toml", directory="/project")

    def resolve(path: str) -> str:
        for link, real in (links or {}).items():
            if path == link or path.startswith(link + "/"):
                return real + path[len(link) :]
        return path

    return needs_allow(config, "/project", resolve=resolve)


@pytest.mark.parametrize(
    "line",
    [
        "app = 3000",
        'app = "127.0.0.1:80"',
        'app = "[::1]:80"',
        'app = "https://localhost"',
        'app = { static = "site" }',
        'app = { static = "a/b" }',
        'app = { target = "https://localhost", ca = "ca.pem" }',
        'app = { target = 3000, allow_remote = true, host = "upstream" }',
        'app = { target = 3000, client_auth = "require", client_ca = "clients.pem" }',
    ],
)
def test_loopback_ports_and_directories_below_the_file_need_nothing(line: str) -> None:
    assert reasons(line) == []


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('app = { target = "10.0.0.5:80", allow_remote = true }', "another machine: 10.0.0.5 port 80"),
        ('app = "unix:/run/docker.sock"', "Unix socket /run/docker.sock"),
        ('app = "unix:own.sock"', "Unix socket /project/own.sock"),
        ('app = { static = "/etc" }', "the folder /etc"),
        ('app = { static = "." }', "own folder /project"),
        ('app = { static = ".", dotfiles = true }', "own folder /project with everything in it"),
        ('app = { target = "https://localhost", verify = false }', "does not check the certificate"),
        ('app = { target = "https://localhost", ca = "/etc/shadow" }', "certificate file /etc/shadow"),
        ('app = { target = 1, client_auth = "require", client_ca = "/etc/x" }', "certificate file /etc/x"),
    ],
)
def test_everything_else_needs_a_word(line: str, why: str) -> None:
    (reason,) = reasons(line)
    assert why in reason.text
    assert (reason.key, reason.line) == ("app", 2)


def test_links_are_followed() -> None:
    assert reasons('app = { static = "site" }', {"/project/site": "/home/me/.ssh"})
    assert reasons('app = { static = "site" }', {"/project": "/mnt/project"}) == []
    assert reasons('app = { target = "https://localhost", ca = "c/x" }', {"/project/c": "/etc"})


def test_every_reason_is_told() -> None:
    line = 'app = { target = "https://10.0.0.5", allow_remote = true, verify = false }\nb = "unix:/x"'
    assert [reason.key for reason in reasons(line)] == ["app", "app", "b"]


def test_a_file_cannot_draw_its_own_report() -> None:
    (reason,) = reasons('app = "unix:/x\\n\\u001b[2Jnothing to see"')
    assert reason.text.isprintable()


def test_our_own_sockets_are_recognised_through_links() -> None:
    config = parse_config(
        b'[routes]\na = "unix:/state/control.sock"\nb = "unix:/link/control.sock"\nc = "unix:/run/app.sock"\nd = 3000',
        source="devtls.toml",
        directory="/project",
    )
    found = private_routes(config, ["/state"], resolve=lambda path: path.replace("/link", "/state"))
    assert [route.key for route in found] == ["a", "b"]


@pytest.mark.parametrize(
    ("site", "private"),
    [("/state", True), ("/state/ca", True), ("/", True), ("/link", True), ("/stated", False), ("/project/site", False)],
)
def test_a_site_that_holds_our_files_is_recognised(site: str, private: bool) -> None:
    config = parse_config(f'[routes]\na = {{ static = "{site}" }}'.encode(), source="devtls.toml", directory="/project")
    found = private_routes(config, ["/state"], resolve=lambda path: path.replace("/link", "/state"))
    assert bool(found) is private


def test_the_root_that_is_checked_is_the_one_that_is_served() -> None:
    """A link that is swapped between the check and the first request must not have been checked in its old place."""
    config = parse_config(b'[routes]\na = { static = "site" }', source="devtls.toml", directory="/project")
    (route,) = config.routes
    assert isinstance(route.target, StaticTarget)
    pinned = replace(config, routes=(replace(route, target=replace(route.target, root="/state")),))
    assert needs_allow(pinned, "/project", resolve=str)[0].text == "serves the folder /state"
    assert private_routes(pinned, ["/state"], resolve=str)
    assert private_routes(config, ["/state"], resolve=str) == []
