"""Routes: added to a file or for one run, removed; and what the running proxies make of it.

Owns the order of an edit: find the running proxies first, write the file, have those that read it reload. A proxy that
cannot use the file goes on with its old routes: the file is written all the same, and the outcome says so. Refuses to
call a route removed that the command line of a running proxy keeps.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import msgspec

from devtls.config import parse_identity
from devtls.config.edit import Value, add_route, as_line, find_route, remove_route
from devtls.errors import ConfigError, DevtlsError
from devtls.operations.config_choice import config_here, display_path
from devtls.operations.context import Context
from devtls.operations.control import RunningProxy, choose, find_running, raise_failure, without_demos
from devtls.operations.route_file import RouteOptions, rewrite, route_value
from devtls.system.storage.config_discovery import Found
from devtls.web.control_messages import (
    RELOAD,
    REMOVE,
    ROUTES,
    AddRequest,
    Done,
    ErrorInfo,
    ReloadRequest,
    RemoveRequest,
    RouteStatus,
)


class ProxyOutcome(msgspec.Struct, frozen=True):
    """The result in one running proxy; `route` is the route that was meant, as that proxy has it now."""

    pid: int
    applied: bool = msgspec.field(name="taken_over")
    error: ErrorInfo | None = msgspec.field(name="trouble", default=None)
    route: RouteStatus | None = None


class AddedRoute(msgspec.Struct, frozen=True, kw_only=True):
    """A route that was added; `file` is None for one of this run only, `replaced` the name that it had before."""

    file: Path | None
    created: bool
    line: str
    replaced: str | None
    outcomes: tuple[ProxyOutcome, ...]
    running: tuple[RunningProxy, ...]
    """Every proxy that ran, whether it reads the file or not."""


class RemovedRoute(msgspec.Struct, frozen=True, kw_only=True):
    """A route that was removed; `file` is None when it was one of this run only."""

    file: Path | None
    name: str
    outcomes: tuple[ProxyOutcome, ...]
    running: tuple[RunningProxy, ...]


def add(context: Context, found: Found, name: str, target: str, options: RouteOptions) -> AddedRoute:
    """Write a route into a file, or replace the one of that name and path. Raises ConfigError, StateError."""
    value = route_value(name, target, options, here=Path.cwd(), directory=found.path.parent)
    # Before: the file's own watch must not come first.
    running = without_demos(find_running(context.paths, context.reporter))
    edited = rewrite(context, found, lambda file: add_route(file, name, value))
    if edited is None:
        raise TypeError("add_route always returns a file")
    old, new = find_route(edited.before, name), find_route(edited.after, name)
    return AddedRoute(
        file=found.path,
        created=edited.created,
        line=as_line(name if new is None else new.key, value),
        replaced=None if old is None else old.key,
        outcomes=tuple(reload_readers(running, found.path, f"devtls add {name}", parse_identity(name))),
        running=tuple(running),
    )


def add_temporarily(context: Context, pid: int | None, name: str, target: str, options: RouteOptions) -> AddedRoute:
    """Add a route to a running proxy until it ends. Raises DevtlsError."""
    here = Path.cwd()
    value: Value = route_value(name, target, options, here=here, directory=here)
    identity = parse_identity(name)
    running = without_demos(find_running(context.paths, context.reporter))
    proxy = choose(running, pid, config_here(context.paths), f"add {name} TARGET --temporary")
    done = proxy.send(ROUTES, AddRequest(name=name, value=value, directory=str(here)))
    raise_failure(done.error)
    return AddedRoute(
        file=None,
        created=False,
        line=as_line(name, value),
        replaced=None,
        outcomes=(_outcome(proxy, done, identity),),
        running=(proxy,),
    )


def remove(context: Context, found: Found, name: str) -> RemovedRoute:
    """Remove a route from a file, or from the running proxies that have it for this run only. Raises DevtlsError."""
    identity = parse_identity(name)
    # Before: the file's own watch must not come first.
    running = without_demos(find_running(context.paths, context.reporter))
    edited = rewrite(context, found, lambda file: remove_route(file, name)) if found.path.exists() else None
    if edited is None:
        outcomes = _remove_temporary(running, found.path, name)
    else:
        outcomes = reload_readers(running, found.path, f"devtls remove {name}", identity)
    return RemovedRoute(
        file=None if edited is None else found.path, name=name, outcomes=tuple(outcomes), running=tuple(running)
    )


def reload_readers(
    running: Sequence[RunningProxy], file: Path, why: str, identity: tuple[str, str]
) -> list[ProxyOutcome]:
    """Have every proxy that reads `file` read it now."""
    found = []
    for one in running:
        if one.reads(file):
            try:
                done = one.send(RELOAD, ReloadRequest(why=why, config_file=str(file)))
            except DevtlsError as error:
                # The file is written already: a proxy that does not answer is an outcome, not a failure of the edit.
                done = Done(error=ErrorInfo(str(error), error.hint, exit_code=int(error.exit_code)))
            found.append(_outcome(one, done, identity))
    return found


def _outcome(one: RunningProxy, done: Done, identity: tuple[str, str]) -> ProxyOutcome:
    """Return what an answer means for the route of that name and path."""
    route = next((each for each in done.routes if parse_identity(each.name) == identity), None)
    return ProxyOutcome(one.about.pid, done.error is None, done.error, route)


def _remove_temporary(running: Sequence[RunningProxy], file: Path, name: str) -> list[ProxyOutcome]:
    """Have every proxy drop a route of this run only. Raises DevtlsError when none has one of that name."""
    identity, outcomes, kept = parse_identity(name), [], None
    for one in running:
        done = one.send(REMOVE, RemoveRequest(name=name))
        raise_failure(done.error)
        outcome = _outcome(one, done, identity)
        if done.removed:
            outcomes.append(outcome)
        elif outcome.route is not None:
            kept = one, outcome.route
    if not outcomes:
        raise _not_there(file, name, kept)
    return outcomes


def _not_there(file: Path, name: str, kept: tuple[RunningProxy, RouteStatus] | None) -> DevtlsError:
    has_none = f"{display_path(file)} has no route {name}"
    missing = has_none if file.exists() else f"There is no devtls.toml here, and no {name}"
    if kept is None:
        return ConfigError(f"{missing}.", hint="devtls list")
    one, route = kept
    if route.joined:
        owner = f"devtls serve (process {route.joined})"
        why, hint = f"{owner}, which joined {one.label}, has it", f"devtls stop --pid {route.joined} ends that one"
    elif route.source == "command line":
        why, hint = f"the command line of {one.label} has it", f"devtls stop --pid {one.about.pid}, then without it"
    elif route.source == "acme":
        why, hint = f"it is the ACME server of {one.label}", "enabled = false in [acme] switches it off"
    else:
        why = f"{one.label} has it from {one.about.config_file}"
        hint = f"devtls remove {name} --config {shlex.quote(one.about.config_file or '')}"
    return ConfigError(f"{missing}; {why}.", hint=hint)
