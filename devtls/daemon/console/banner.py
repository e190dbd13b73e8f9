"""The banner of `devtls serve`: addresses, their targets, and one next command for each thing that is missing.

Owns the words; pure. What it shows was found out by `probes`. Addresses become links only where the terminal is one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from devtls.config import StaticTarget
from devtls.config.lines import visible
from devtls.daemon.console.route_line import RouteRow, row_lines
from devtls.daemon.console.style import CYAN, TerminalStyle
from devtls.names import is_below, is_wildcard
from devtls.routing import Route
from devtls.system.machine.name_resolution import LOST, Resolves, browser_order

_MOST_ROUTES = 20
NO_DIRECTORY = "there is no such folder"
"""The state of a static route whose directory is missing."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What the probes found.

    `apps`: route label -> "" (it answers) or why not; `names`: host -> where it leads; `missing_directories`: those of
    static routes that are not there; `trusted` is None where no store has answered in time; `written`: the names that
    `devtls setup names` has put into the hosts file.
    """

    apps: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, Resolves] = field(default_factory=dict)
    trusted: bool | None = False
    authority_is_new: bool = False
    trust_command: str = "devtls trust"
    missing_directories: frozenset[str] = frozenset()
    written: frozenset[str] = frozenset()


Remark = tuple[str, ...]
"""The lines of one thing that is missing, or that should not be overlooked."""


def render_routes(routes: Sequence[Route], port: int, findings: Findings, style: TerminalStyle) -> list[str]:
    """Return the list of routes, one on a line: the name that a browser opens comes first."""
    lines = list(row_lines([_row(route, port, findings) for route in routes[:_MOST_ROUTES]], style))
    if more := len(routes) - _MOST_ROUTES:
        lines += [f"  … and {more} more {'route' if more == 1 else 'routes'}"] if more > 0 else []
    return lines


def find_remarks(
    routes: Sequence[Route], port: int, findings: Findings, overridden: Sequence[str], style: TerminalStyle
) -> list[Remark]:
    """Return what a person should know or do next."""
    remarks = [*_override_remarks(overridden), *_missing(routes, port, findings, style.paint)]
    return [tuple(remark) for remark in remarks]


def join_banner(route_lines: Sequence[str], remarks: Sequence[Remark]) -> str:
    """Return the whole text, an empty line around each part."""
    lines = ["", *route_lines]
    for remark in remarks:
        lines += ["", *(f"  {line}".rstrip() for line in remark)]
    return "\n".join([*lines, ""])


def _row(route: Route, port: int, findings: Findings) -> RouteRow:
    addresses = [route.url(host, port) for host in browser_order(route.hosts, findings.names)]
    target = route.config.target
    if isinstance(target, StaticTarget):
        missing = target.directory in findings.missing_directories
        return RouteRow(addresses, target.directory, NO_DIRECTORY if missing else None)
    trouble = findings.apps.get(route.upstream.label)
    return RouteRow(addresses, route.upstream.label, f"not up: {trouble}" if trouble else trouble)


def _override_remarks(overridden: Sequence[str]) -> list[list[str]]:
    if not overridden:
        return []
    names = ", ".join(visible(name) for name in overridden)
    return [[f"The command line replaces what devtls.toml says about: {names}."]]


def _missing(
    routes: Sequence[Route], port: int, findings: Findings, paint: Callable[[str, str], str]
) -> list[list[str]]:
    remarks = []
    if findings.trusted is False:
        remarks.append([_untrusted(findings), "", f"    {paint(findings.trust_command, CYAN)}"])
    exact: dict[str, Route] = {}
    for route in routes:
        for host in route.hosts:
            if not is_wildcard(host):
                exact.setdefault(host, route)
    lost = {host: route for host, route in exact.items() if _is_lost(host, findings)}
    if unwritten := {host: route for host, route in lost.items() if host not in findings.written}:
        what = f"{_what_is_lost(unwritten, findings)}{_instead(unwritten, port, findings)}:"
        remarks.append([what, "", f"    {paint('devtls setup names', CYAN)}"])
    if written := [host for host in lost if host in findings.written]:
        verb = "does" if len(written) == 1 else "do"
        what = f"{_some(written)} {verb} not resolve, though setup wrote the lines into the hosts file:"
        remarks.append([what, "", f"    {paint('devtls doctor', CYAN)}"])
    if wild := {host: one for one in routes for host in one.hosts if is_wildcard(host) and _is_lost(host, findings)}:
        remarks.append(_wildcard_remark(wild, findings))
    elsewhere = [host for host in exact if findings.names.get(host) is Resolves.ELSEWHERE]
    if elsewhere:
        names = "this name" if len(elsewhere) == 1 else "these names"
        remarks.append([f"{_some(elsewhere)}: the DNS sends {names} to another machine, not to devtls."])
    return remarks


def _untrusted(findings: Findings) -> str:
    if findings.trust_command != "devtls trust":
        return "No browser trusts the CA of this demo, which ends with it. With your own it opens without a warning:"
    made = "A new CA was made; no" if findings.authority_is_new else "No"
    lost = any(_is_lost(host, findings) for host in findings.names)
    # One question and one password instead of two.
    both = " (or devtls setup, which does names and ports as well)" if lost else ""
    return f"{made} browser trusts it yet. Once, in another terminal{both}:"


def _is_lost(host: str, findings: Findings) -> bool:
    # Browsers resolve names below localhost by themselves.
    return findings.names.get(host) in LOST and not is_below(host, "localhost")


def _what_is_lost(lost: Mapping[str, Route], findings: Findings) -> str:
    if all(findings.names[host] is Resolves.UNANSWERED for host in lost):
        # No network, most often: what the hosts file says is found all the same.
        return f"This machine's resolver does not answer for {_some(list(lost))}"
    return f"{_some(list(lost))} {'does' if len(lost) == 1 else 'do'} not resolve on this machine yet"


def _instead(lost: Mapping[str, Route], port: int, findings: Findings) -> str:
    """Return the address to open meanwhile, of the first route that fails; "" while every browser would warn of it."""
    route = next(iter(lost.values()))
    here = next((host for host in route.hosts if is_below(host, "localhost")), "")
    return f" ({route.url(here, port)} works in browsers now)" if here and findings.trusted else ""


def _wildcard_remark(lost: Mapping[str, Route], findings: Findings) -> list[str]:
    here = next((host for host in next(iter(lost.values())).hosts if is_below(host[2:], "localhost")), "")
    instead = f" In browsers {here} works now." if here and findings.trusted else ""
    what = f"Names below {_some([host[2:] for host in lost])} do not resolve on this machine."
    return [f"{what} devtls setup names shows whether it has a way for wildcards.{instead}"]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"
