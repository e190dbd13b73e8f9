"""Requests of a configuration file that need `devtls allow`: everything but loopback ports and files below it.

Owns the list of reasons that a person reads before `devtls allow`. Refuses nothing: `system.allowlist` remembers and
refuses. Links are followed by the caller's `resolve`, because a directory below the file may be a link to anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import PurePath
from typing import assert_never

import msgspec

from devtls.config.lines import visible
from devtls.config.model import Config, RouteConfig, StaticTarget, TcpTarget, UnixTarget
from devtls.config.target import is_loopback_host

_GIVEN_OUT = "gives certificates of your CA to programs on this machine that ask by ACME"


class AllowanceReason(msgspec.Struct, frozen=True):
    """One thing that needs to be allowed: a route's or a section's key, its line, what it wants in plain words."""

    key: str
    line: int
    text: str
    is_route: bool = True


def needs_allow(config: Config, directory: str, *, resolve: Callable[[str], str]) -> list[AllowanceReason]:
    """Return what `config`, a file in `directory`, may not do without `devtls allow`; [] = nothing.

    `resolve` returns a path with its links followed.
    """
    home = PurePath(resolve(directory))
    given_out = [AllowanceReason("acme", config.acme.line, _GIVEN_OUT, is_route=False)] if config.acme.enabled else []
    return given_out + [
        AllowanceReason(visible(route.key), route.line, visible(text))
        for route in config.routes
        for text in _demands(route, home, resolve)
    ]


def _demands(route: RouteConfig, home: PurePath, resolve: Callable[[str], str]) -> Iterable[str]:
    match route.target:
        case TcpTarget(_, host, port):
            if not is_loopback_host(host):
                yield f"sends requests to another machine: {host} port {port}"
        case UnixTarget(path):
            # Docker's is one: whoever reaches it is root.
            yield f"talks to the Unix socket {path}"
        case StaticTarget(directory) as target:
            # Links are followed first: git checks out links that lead anywhere.
            real = PurePath(target.root or resolve(directory))
            if real == home:  # with the sources, and with .git and .env where dot files are served
                yield f"serves the file's own folder {real}" + (" with everything in it" if target.dotfiles else "")
            elif not real.is_relative_to(home):
                yield f"serves the folder {real}"
        case unknown:
            assert_never(unknown)
    if not route.verify:
        yield "does not check the certificate of its target"
    for file in (route.ca, route.client_ca):
        real = home if file is None else PurePath(resolve(file))
        if not real.is_relative_to(home):
            yield f"reads the certificate file {real}"


def private_routes(config: Config, directories: Iterable[str], *, resolve: Callable[[str], str]) -> list[RouteConfig]:
    """Return the routes that lead into one of our own `directories`: to a socket there, or to files there.

    The control API is never behind a route, and a site that holds the state directory would publish the CA's key.
    """
    ours = [PurePath(resolve(directory)) for directory in directories]
    return [route for route in config.routes if any(_leads_into(route, directory, resolve) for directory in ours)]


def _leads_into(route: RouteConfig, ours: PurePath, resolve: Callable[[str], str]) -> bool:
    match route.target:
        case UnixTarget(path) as target:
            return PurePath(target.real or resolve(path)).is_relative_to(ours)
        case StaticTarget(directory) as target:
            site = PurePath(target.root or resolve(directory))
            # Both ways: a directory inside of ours, and one that holds ours.
            return site.is_relative_to(ours) or ours.is_relative_to(site)
        case _:
            return False
