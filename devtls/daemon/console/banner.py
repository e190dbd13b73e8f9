"""The banner of `devtls serve`: addresses, their targets, and one next command for each thing that is missing.

Owns the words; pure. What it shows was found out by `probes`. Addresses become links only where the terminal is one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from devtls.config import StaticTarget
from devtls.config.lines import visible
from devtls.daemon.console.style import BOLD, GREEN, YELLOW, TerminalStyle
from devtls.names import is_below, is_wildcard
from devtls.routing import Route

_MOST_ROUTES = 20


class Resolves(Enum):
    """What this machine makes of a name."""

    HERE = "here"
    NOWHERE = "nowhere"
    ELSEWHERE = "elsewhere"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Findings:
    """What the probes found.

    `apps`: route label -> "" (it answers) or why not; `names`: host -> where it leads; `missing_directories`: those of
    static routes that are not there; `written`: the names that `devtls setup names` has put into the hosts file.
    """

    apps: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, Resolves] = field(default_factory=dict)
    trusted: bool = False
    authority_is_new: bool = False
    missing_directories: frozenset[str] = frozenset()
    written: frozenset[str] = frozenset()


Remark = tuple[str, ...]
"""The lines of one thing that is missing, or that should not be overlooked."""


def render_routes(routes: Sequence[Route], port: int, findings: Findings, style: TerminalStyle) -> list[str]:
    """Return the lines of the list of routes."""
    lines = []
    width = max((len(url) for route in routes[:_MOST_ROUTES] for url in route.urls(port)), default=0)
    for route in routes[:_MOST_ROUTES]:
        lines += _route_lines(route, port, width, findings, style)
    if len(routes) > _MOST_ROUTES:
        lines.append(f"  … and {len(routes) - _MOST_ROUTES} more routes")
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


def _route_lines(route: Route, port: int, width: int, findings: Findings, style: TerminalStyle) -> list[str]:
    label, state = _goes_to(route, findings, style)
    lines = []
    for number, url in enumerate(route.urls(port)):
        # A wildcard is no address that could be opened.
        shown = style.paint(url if "*" in url else style.link(url), *((BOLD,) if number == 0 else ()))
        goes = f"{' ' * (width - len(url))}  ->  {visible(label)}{state}" if number == 0 else ""
        lines.append(f"  {shown}{goes}")
    return lines


def _goes_to(route: Route, findings: Findings, style: TerminalStyle) -> tuple[str, str]:
    """Return where a route goes and, when that is known, whether it answers."""
    target = route.config.target
    if isinstance(target, StaticTarget):
        missing = target.directory in findings.missing_directories
        return target.directory, "  " + style.paint("there is no such folder", YELLOW) if missing else ""
    trouble = findings.apps.get(route.upstream.label)
    if trouble is None:
        return route.upstream.label, ""
    state = style.paint(f"not up: {visible(trouble)}", YELLOW) if trouble else style.paint("up", GREEN)
    return route.upstream.label, f"  {state}"


def _override_remarks(overridden: Sequence[str]) -> list[list[str]]:
    if not overridden:
        return []
    names = ", ".join(visible(name) for name in overridden)
    return [[f"The command line replaces what devtls.toml says about: {names}."]]


def _missing(
    routes: Sequence[Route], port: int, findings: Findings, paint: Callable[[str, str], str]
) -> list[list[str]]:
    remarks = []
    if not findings.trusted:
        made = "A new CA was made; no" if findings.authority_is_new else "No"
        remarks.append(
            [f"{made} browser trusts it yet. Once, in another terminal:", "", f"    {paint('devtls trust', '36')}"]
        )
    hosts = [host for route in routes for host in route.hosts if not is_wildcard(host)]
    lost = [host for host in dict.fromkeys(hosts) if _is_lost(host, findings)]
    if unwritten := [host for host in lost if host not in findings.written]:
        remarks.append(_lost_remark(unwritten, hosts, port, paint))
    if written := [host for host in lost if host in findings.written]:
        verb = "does" if len(written) == 1 else "do"
        what = f"{_some(written)} {verb} not resolve, though setup wrote the lines into the hosts file:"
        remarks.append([what, "", f"    {paint('devtls doctor', '36')}"])
    wild = [host for route in routes for host in route.hosts if is_wildcard(host)]
    if lost_wild := [host for host in dict.fromkeys(wild) if _is_lost(host, findings)]:
        remarks.append(_wildcard_remark(lost_wild, wild))
    elsewhere = [host for host in dict.fromkeys(hosts) if findings.names.get(host) is Resolves.ELSEWHERE]
    if elsewhere:
        remarks.append([f"{', '.join(elsewhere)}: the DNS sends this name to another machine, not to devtls."])
    return remarks


def _is_lost(host: str, findings: Findings) -> bool:
    # Browsers resolve names below localhost by themselves.
    return findings.names.get(host) is Resolves.NOWHERE and not is_below(host, "localhost")


def _lost_remark(lost: Sequence[str], hosts: Sequence[str], port: int, paint: Callable[[str, str], str]) -> list[str]:
    verb = "does" if len(lost) == 1 else "do"
    here = next((host for host in hosts if host.endswith(".localhost")), "")
    instead = f" (https://{here}{'' if port == 443 else f':{port}'} works in browsers now)" if here else ""
    what = f"{_some(lost)} {verb} not resolve on this machine yet{instead}:"
    return [what, "", f"    {paint('devtls setup names', '36')}"]


def _wildcard_remark(lost: Sequence[str], wild: Sequence[str]) -> list[str]:
    here = next((host for host in wild if host.endswith(".localhost")), "")
    instead = f" In browsers {here} works now." if here else ""
    what = f"Names below {_some([host[2:] for host in lost])} do not resolve on this machine."
    return [f"{what} devtls setup names shows whether it has a way for wildcards.{instead}"]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"
