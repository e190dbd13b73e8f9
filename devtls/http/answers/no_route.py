"""The texts of our 404: which name was meant, how a route for this one is added while devtls serve runs, the routes.

Owns the advice. Refuses to repeat what the client sent in a command: only names of letters, digits and hyphens are, so
that a shell finds nothing to run in what people copy.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches

from devtls.http.answers.content import PageRow, PageText, RouteLine
from devtls.names import LOCALHOST, Hostname, is_below, is_ip_address, is_wildcard, zone_of

_MOST_ROUTES = 200
"""Rows on a page: with more nobody finds one."""
_ALIKE = 0.7
"""difflib's ratio: `ap`, `appp` and `api` are like `app`, `shop` is not."""
_PORT = re.compile(r"127\.0\.0\.1:([0-9]+)\Z")
_NAME = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\Z")
_PLAIN = re.compile(r"[A-Za-z0-9_./:\\~-]+\Z")
_FILE_NAME = "devtls.toml"


def no_route(host: str, routes: Sequence[RouteLine], zones: Sequence[Hostname], file: str) -> PageText:
    """Return the texts for a `host` without a route; `file` is where the routes are from, "" = the command line."""
    routes = [_for_browser(route, host, zones) for route in routes]
    facts = {
        "host": host,
        "routes": [{"url": route.url, "target": route.target, "urls": list(route.urls)} for route in routes],
    }
    return PageText(
        404,
        "no-route",
        f"No route for {host or 'this request'}",
        "" if routes else "There are no routes yet.",
        _advice(host, routes, zones, file),
        list(_rows(routes)),
        facts,
        meant=_meant(host, routes),
        rows_title="The routes are:" if routes else "",
    )


def _for_browser(route: RouteLine, host: str, zones: Sequence[Hostname]) -> RouteLine:
    """Return a route with that URL first which is in the zone of the name that the browser has just opened."""
    # An address was opened without a resolver: names below localhost are, too.
    zone = zone_of(host, zones) or LOCALHOST
    first, *others = sorted(route.urls, key=lambda url: not is_below(_host(url), zone))
    return RouteLine(first, route.target, tuple(others))


def _rows(routes: Sequence[RouteLine]) -> Iterator[PageRow]:
    for route in routes[:_MOST_ROUTES]:
        others = tuple((_name_and_path(url), _link(url)) for url in route.others)
        yield PageRow(route.url, route.target, _link(route.url), others)
    if (more := len(routes) - _MOST_ROUTES) > 0:
        yield PageRow(f"… and {more} more", "devtls list shows them all")


def _link(url: str) -> str:
    return "" if "*" in url else url


def _host(url: str) -> str:
    return _name_and_path(url).partition("/")[0]


def _name_and_path(url: str) -> str:
    authority, slash, path = url.partition("://")[2].partition("/")
    return authority.partition(":")[0] + slash + path


def _meant(host: str, routes: Sequence[RouteLine]) -> str:
    """Return the URL whose name is nearly this one, "" when there is none."""
    urls = {_host(url): url for route in routes for url in reversed(route.urls) if _link(url)}
    # By the names without their ends: those are much alike for every two names of one zone.
    ends = {name: name.partition(".") for name in (host, *urls)}
    alike = {ends[name][0]: url for name, url in urls.items() if ends[name][2] == ends[host][2] and name != host}
    near = get_close_matches(ends[host][0], alike, 1, _ALIKE)
    return alike[near[0]] if near else ""


def _advice(host: str, routes: Sequence[RouteLine], zones: Sequence[Hostname], file: str) -> str:
    name = _route_name(host, zones)
    parent = _served_parent(host, routes)
    if parent is None:
        return f"To add it: {_command(name, '3000', file)}, where 3000 is the port of your app.{_lasting(file)}"
    above = _route_name(_host(parent.url).removeprefix("*."), zones)
    found = _PORT.match(parent.target)
    port = found[1] if found else "3000"
    return (
        f"For every name below `{above}`: {_command(f'*.{above}', port, file)}. For this one: "
        f"{_command(name, '3000', file)}, where 3000 is the port of its app.{_lasting(file)}"
    )


def _served_parent(host: str, routes: Sequence[RouteLine]) -> RouteLine | None:
    """Return the route of the nearest name above `host`, in any spelling."""
    served = {_host(url): route for route in reversed(routes) for url in route.urls if not is_wildcard(_host(url))}
    above = host.partition(".")[2]
    while above:
        if above in served and above != LOCALHOST:
            return served[above]
        above = above.partition(".")[2]
    return None


def _route_name(host: str, zones: Sequence[Hostname]) -> str:
    """Return the name of the route that would serve `host`, short where that lies in a zone."""
    if not host or is_ip_address(host.strip("[]")):  # 127.0.0.1 and [::1] are served by the route `localhost`
        return LOCALHOST
    zone = zone_of(host, zones)
    name = host if zone is None or zone == host else host.removesuffix(f".{zone}")
    # A Host is the client's text: a shell must not find `;` or `$` in what people copy.
    return name if _NAME.match(name) else "app"


def _command(name: str, port: str, file: str) -> str:
    quoted = f"'{name}'" if is_wildcard(name) else name
    if not file:
        return f"`devtls add {quoted} {port} --temporary`"
    if _file_name(file) == _FILE_NAME:
        return f"`devtls add {quoted} {port}`"
    return f"`devtls add {quoted} {port} --config {_shell_word(file)}`"


def _lasting(file: str) -> str:
    """Return where the command counts: a devtls.toml is found from its directory, and without a file nothing lasts."""
    if not file:
        return " It lasts as long as this `devtls serve`; in a devtls.toml it stays."
    if _file_name(file) == _FILE_NAME:
        return f" Run it in `{file[: -len(_FILE_NAME) - 1] or '/'}`, where devtls.toml is."
    return ""


def _file_name(file: str) -> str:
    return re.split(r"[/\\]", file)[-1]


def _shell_word(text: str) -> str:
    return text if _PLAIN.match(text) else "'" + text.replace("'", "'\\''") + "'"
