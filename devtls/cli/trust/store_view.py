"""How `devtls trust` and `devtls untrust` show plans and results: text for people, JSON for programs."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from devtls.cli import printable
from devtls.cli.terminal.table import Row
from devtls.system.changes.truststore.installer import Proposal, Result
from devtls.system.changes.truststore.protocol import Status
from devtls.system.machine.plan import Elevation, render_plan

ABSENT = "not trusted"
"""The state of a store without the root, in the words of trusting."""


def plan_text(proposals: Iterable[Proposal], elevation: Elevation | None, absent: str) -> str:
    """Return each store with its exact commands, or why there are none; `absent` = how to say "not there"."""
    lines: list[str] = []
    for proposal in proposals:
        lines.append(f"  {printable(proposal.store.label)}")
        lines += [f"      {printable(line)}" for line in _plan_lines(proposal, elevation, absent)]
    return "\n".join(lines)


def _plan_lines(proposal: Proposal, elevation: Elevation | None, absent: str) -> list[str]:
    if proposal.plan:
        commands = list(render_plan(proposal.plan, elevation))
        missing = proposal.plan.elevated and elevation is None
        return [*(["# skipped: neither sudo, doas nor pkexec is here"] if missing else []), *commands]
    state = proposal.state
    match state.status:
        case Status.TRUSTED:
            return ["trusts the root already"]
        case Status.ABSENT:
            return [f"{absent}: {state.detail}" if state.detail else absent]
        case _:
            return [f"{state.status.value}: {state.detail}", *([f"try: {state.remedy}"] if state.remedy else [])]


def store_rows(results: Iterable[Result], absent: str) -> list[Row]:
    """Return label, state and remedy of each store."""
    rows: list[Row] = []
    for result in results:
        state = absent if result.state.status is Status.ABSENT else result.state.status.value
        detail = f": {result.state.detail}" if result.state.detail else ""
        rows.append((result.label, state + detail, result.state.remedy))
    return rows


def result_json(result: Result) -> dict[str, object]:
    """Return one store as JSON values."""
    return {
        "name": result.name,
        "kind": result.kind.value,
        "label": result.label,
        "state": result.state.status.value,
        "detail": result.state.detail,
        "remedy": result.state.remedy,
        "changed": result.changed,
        "commands": list(result.commands),
        "by_hand": result.by_hand,
    }


def setting_for_shell(setting: str) -> str:
    """Return `NAME=value` as a shell reads it."""
    name, _, value = setting.partition("=")
    return f"{name}={shlex.quote(printable(value))}"
