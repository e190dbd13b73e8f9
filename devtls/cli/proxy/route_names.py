"""The names of routes, for the completion of `devtls add` and `devtls remove`."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

from devtls.errors import DevtlsError
from devtls.operations.context import Context
from devtls.operations.reporter import SilentReporter
from devtls.operations.route_lists import lists


def complete_route(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the routes that begin with what is typed; none where they cannot be read."""
    try:
        found = lists(Context.here(SilentReporter()), ctx.params.get("config"))
    # An error in the middle of a line that is being typed helps nobody.
    except DevtlsError:
        return []
    targets = {route.name: route.target for listed in found for route in listed.routes}
    return [CompletionItem(name, help=target) for name, target in targets.items() if name.startswith(incomplete)]
