"""How `devtls setup`, `service`, `unsetup` and `uninstall` show measures: what is planned, how it went; text and JSON.

Owns wording and layout. What a measure does, and what a person should know of it, stands above its commands.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from devtls.cli import printable
from devtls.cli.terminal.rows import wrapped
from devtls.cli.terminal.table import Row
from devtls.system.changes.change import Part, Status
from devtls.system.changes.engine import Proposal, Result
from devtls.system.machine.plan import Elevation, Plan, render_plan

TITLES = {Part.NAMES: "Names", Part.PORTS: "Ports", Part.SERVICE: "Service"}
_INDENT = "    "


def plan_lines(proposals: Iterable[Proposal], elevation: Elevation | None, parts: Iterable[Part]) -> Iterator[str]:
    """Yield each part, below an empty line, with its measures and their exact commands, or why there are none."""
    proposals = tuple(proposals)
    for part in parts:
        yield f"\n{TITLES[part]}:"
        own = [proposal for proposal in proposals if proposal.change.part is part]
        if not own:
            yield "  nothing to do on this system"
        for proposal in own:
            yield from measure_lines(proposal, elevation)


def measure_lines(proposal: Proposal, elevation: Elevation | None) -> Iterator[str]:
    """Yield a measure with its exact commands, or why there are none."""
    yield f"  {printable(proposal.change.label)}"
    state = proposal.state
    if not proposal.plan:
        detail = f": {state.detail}" if state.detail else ""
        yield f"{_INDENT}{printable(state.status.value + detail)}"
        if state.remedy:
            yield f"{_INDENT}try: {printable(state.remedy)}"
        return
    yield from wrapped(proposal.change.purpose, _INDENT)
    yield from removal_lines(proposal, elevation)


def removal_lines(proposal: Proposal, elevation: Elevation | None) -> Iterator[str]:
    """Yield the exact commands of a plan."""
    if proposal.plan.elevated and elevation is None:
        yield f"{_INDENT}  # skipped: neither sudo, doas nor pkexec is here"
    for command in render_plan(proposal.plan, elevation):
        yield f"{_INDENT}  {printable(command)}"


def password_notice(plans: Iterable[Plan], elevation: Elevation | None) -> str:
    """Return the line that announces the question for a password, "" where none comes."""
    if not (elevation and elevation.argv and any(plan.elevated for plan in plans)):
        return ""
    return f"\n{elevation.name} may ask for your password, once: only the commands above that begin with it need it.\n"


def measure_rows(results: Iterable[Result]) -> list[Row]:
    """Return label, state and remedy of each measure."""
    return [
        (result.label, result.state.status.value + (f": {result.state.detail}" if result.state.detail else ""), remedy)
        for result in results
        for remedy in [result.state.remedy]
    ]


def removal_rows(results: Iterable[Result]) -> list[Row]:
    """Return the same for measures that were taken back."""
    rows = zip(results := tuple(results), measure_rows(results), strict=True)
    return [
        (label, ("removed" if result.changed else "not there") if result.state.status is Status.ABSENT else state, todo)
        for result, (label, state, todo) in rows
    ]


def measure_json(result: Result) -> dict[str, object]:
    """Return one measure as JSON values."""
    return {
        "name": result.name,
        "part": result.part.value,
        "label": result.label,
        "state": result.state.status.value,
        "detail": result.state.detail,
        "remedy": result.state.remedy,
        "changed": result.changed,
        "commands": list(result.commands),
        "by_hand": result.by_hand,
    }


def results_json(results: Iterable[Result], *, dry_run: bool) -> str:
    """Return measures as a JSON document, as every command that takes them or takes them back prints it."""
    return json.dumps({"dry_run": dry_run, "measures": [measure_json(result) for result in results]}, indent=2)
