"""How every command shows changes to the machine: plans with their exact commands, results as a table and as JSON.

Owns the wording and the JSON keys. A trust store is "trusted" where every other change is "applied"; JSON has kept the
older words "in force" and "by hand".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from devtls.cli.terminal.messages import printable
from devtls.cli.terminal.output import as_json, wrapped
from devtls.cli.terminal.table import Row
from devtls.system.changes.change import ChangeState, Part, Status
from devtls.system.changes.engine import Proposal, Result
from devtls.system.machine.plan import Elevation, Plan, render_plan

TITLES = {Part.TRUST: "Trust", Part.NAMES: "Names", Part.PORTS: "Ports", Part.SERVICE: "Service", Part.FILES: "Files"}

_INDENT = "    "
_JSON_WORDS = {Status.APPLIED: "in force", Status.MANUAL: "by hand"}


def plan_text(proposals: Iterable[Proposal], elevation: Elevation | None, absent: str = "absent") -> str:
    """Return each change with its exact commands, or the reason why there are none; `absent` says "not there"."""
    return "\n".join(line for proposal in proposals for line in change_lines(proposal, elevation, absent))


def plan_lines(proposals: Iterable[Proposal], elevation: Elevation | None, parts: Iterable[Part]) -> Iterator[str]:
    """Yield each part, below an empty line, with its changes and their exact commands."""
    proposals = tuple(proposals)
    for part in parts:
        yield f"\n{TITLES[part]}:"
        own = [proposal for proposal in proposals if proposal.change.part is part]
        if not own:
            yield "  nothing to do on this system"
        for proposal in own:
            yield from change_lines(proposal, elevation)


def change_lines(proposal: Proposal, elevation: Elevation | None, absent: str = "absent") -> Iterator[str]:
    """Yield a change with its exact commands, or the reason why there are none."""
    yield f"  {printable(proposal.change.label)}"
    if proposal.plan:
        if proposal.change.purpose and proposal.desired is not None:
            yield from wrapped(proposal.change.purpose, _INDENT)
        yield from command_lines(proposal, elevation)
        return
    state = proposal.state
    already = proposal.change.part is Part.TRUST and state.status is Status.APPLIED
    text = "trusts the root already" if already else state_text(proposal.change.part, state, absent)
    yield f"{_INDENT}  {printable(text)}"
    if state.remedy:
        yield f"{_INDENT}  try: {printable(state.remedy)}"


def revert_lines(proposals: Iterable[Proposal], elevation: Elevation | None) -> Iterator[str]:
    """Yield each change that is reverted, with its exact commands."""
    for proposal in proposals:
        yield f"  {printable(proposal.change.label)}"
        yield from command_lines(proposal, elevation)


def command_lines(proposal: Proposal, elevation: Elevation | None) -> Iterator[str]:
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


def state_text(part: Part, state: ChangeState, absent: str = "absent") -> str:
    """Return a state for people: `trusted`, `applied`, `no tool: sysctl is not installed`."""
    word = state.status.value
    if state.status is Status.ABSENT and state.detail.startswith("it follows"):
        # No failure: what it follows is a store of its own in the same plan.
        return f"nothing to do: {state.detail}"
    if state.status is Status.ABSENT:
        word = absent
    elif part is Part.TRUST and state.status is Status.APPLIED:
        word = "trusted"
    return f"{word}: {state.detail}" if state.detail else word


def change_rows(results: Iterable[Result], absent: str = "absent") -> list[Row]:
    """Return label, state and remedy of each change."""
    return [(result.label, state_text(result.part, result.state, absent), result.state.remedy) for result in results]


def revert_rows(results: Iterable[Result]) -> list[Row]:
    """Return the same for changes that were reverted."""
    results = tuple(results)
    return [
        (label, "removed" if result.changed else state, remedy)
        for result, (label, state, remedy) in zip(results, change_rows(results, "not there"), strict=True)
    ]


def change_json(result: Result) -> dict[str, object]:
    """Return one change as JSON values: a trust store has a kind, every other change a part."""
    return {
        "name": result.name,
        **({"part": result.part.value} if result.kind is None else {"kind": result.kind.value}),
        "label": result.label,
        "state": _json_word(result),
        "detail": result.state.detail,
        "remedy": result.state.remedy,
        "changed": result.changed,
        "commands": list(result.commands),
        "by_hand": result.manual,
    }


def _json_word(result: Result) -> str:
    status = result.state.status
    if result.part is Part.TRUST and status is Status.APPLIED:
        return "trusted"
    return _JSON_WORDS.get(status, status.value)


def results_json(results: Iterable[Result], *, dry_run: bool) -> str:
    """Return changes as a JSON document, as every command that applies or reverts them prints it."""
    return as_json({"dry_run": dry_run, "measures": [change_json(result) for result in results]})
