"""The output of `devtls trust` and of its part in `devtls setup`: the CA, the verdicts of clients, and remarks.

Owns the wording, the layout and the shape of the JSON document. Decides nothing.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable

import click

from devtls.cli.terminal.change_view import change_json, change_rows
from devtls.cli.terminal.messages import printable
from devtls.cli.terminal.table import is_wrapped, show_table
from devtls.doctor.proof import ClientProof, ForeignOutcome
from devtls.operations.changes import planned_results
from devtls.operations.context import Context
from devtls.operations.trust import TrustPlan, TrustResult
from devtls.pki.authority import Authority
from devtls.system.changes.change import Status

ABSENT = "not trusted"
"""The state of a store without the root."""


def which_ca(plan: TrustPlan) -> str:
    """Return a sentence about the CA and the names that it is limited to; "" where there is none."""
    if plan.authority is None:
        return ""
    authority, verb = plan.authority, "Made" if plan.created else "Using"
    limit = "and for nothing else" if authority.name_constrained else "and NOTHING LIMITS IT to them"
    zones, until = ", ".join(authority.zones), authority.root.not_valid_after_utc
    return f"{verb} devtls root {authority.id}: it speaks for {zones}, {limit}, until {until:%Y-%m-%d}."


def which_ca_would_be_made(zones: Iterable[str]) -> str:
    """Return the sentence for a CA that does not exist yet."""
    return f"A CA would be made for {', '.join(zones)}; ID stands for its number."


def show_result(result: TrustResult) -> None:
    """Show a table of the stores, and the rest."""
    show_table(("Store", "State", "Remedy"), change_rows(result.stores, ABSENT))
    show_rest(result)


def show_rest(result: TrustResult) -> None:
    """Show all but the table of the stores: the proof, manual steps, missing tools, and remarks."""
    stores, reports = result.stores, result.reports
    if reports:
        click.echo("")
        rows = [(report.client, _proof_text(report), _foreign_text(report)) for report in reports]
        show_table(("Client", "Proof", "A name outside the zones"), rows)
        _show_variables(reports)
    for manual in dict.fromkeys(store.manual for store in stores if store.manual):
        click.echo(f"\nManually: {printable(manual)}", err=True)
    completing = dict.fromkeys(store.state.remedy for store in stores if store.state.status is Status.NO_TOOL)
    if completing:
        click.echo(f"\nTo complete it: {printable('; '.join(completing))}.", err=True)
    for notice in result.notices:
        click.echo(f"\n{printable(notice.text)}\n  try: {notice.remedy}", err=True)


def _proof_text(report: ClientProof) -> str:
    """Return the verdict; a terminal's column would break a path in the middle, and the whole line stands below."""
    if report.setting and is_wrapped():
        return str(report).replace(report.setting, f"{report.setting.partition('=')[0]}=…")
    return str(report)


def _show_variables(reports: Iterable[ClientProof]) -> None:
    """Show the lines that keep the variables which clients needed."""
    needed = [report for report in reports if report.setting]
    if needed:
        lines = "\n".join(f"  export {_setting_for_shell(setting)}" for setting in {r.setting: None for r in needed})
        *others, last = [report.client for report in needed]
        clients = f"{', '.join(others)} and {last}" if others else last
        click.echo(f"\nFor {clients}, add this to your shell's profile (~/.profile):\n\n{lines}", err=True)
        click.echo('\nOr, for these and every other tool with a list of its own: eval "$(devtls env)"', err=True)


def _setting_for_shell(setting: str) -> str:
    """Return `NAME=value` as a shell reads it."""
    name, _, value = setting.partition("=")
    return f"{name}={shlex.quote(printable(value))}"


def _foreign_text(report: ClientProof) -> str:
    match report.foreign:
        case ForeignOutcome.REFUSED_FOR_NAME:
            return "refused"
        case ForeignOutcome.REFUSED_OTHERWISE:
            return f"refused: {report.foreign_why}"
        case ForeignOutcome.ACCEPTED:
            return "ACCEPTED"
        case ForeignOutcome.NOT_TRIED:
            return "not tried"


def planned_trust_json(context: Context, plan: TrustPlan) -> dict[str, object]:
    """Return a dry run as JSON values."""
    stores = [change_json(result) for result in planned_results(context, plan.proposals)]
    return {"dry_run": True, "root": _root_json(plan.authority), "zones": list(plan.zones), "stores": stores}


def trust_json(result: TrustResult) -> dict[str, object]:
    """Return a result as JSON values."""
    return {
        "dry_run": False,
        "root": _root_json(result.authority),
        "trusted": result.trusted,
        "stores": [change_json(store) for store in result.stores],
        "clients": [
            {
                "client": report.client,
                "tool": str(report.tool),
                "verdict": report.verdict.value,
                "setting": report.setting,
                "why": report.why,
                "foreign": report.foreign.value,
                "foreign_why": report.foreign_why,
            }
            for report in result.reports
        ],
        "notices": [{"text": notice.text, "remedy": notice.remedy} for notice in result.notices],
    }


def _root_json(authority: Authority | None) -> dict[str, object] | None:
    if authority is None:
        return None
    until = authority.root.not_valid_after_utc.isoformat()
    return {"id": authority.id, "sha256": authority.fingerprint, "zones": list(authority.zones), "not_after": until}
