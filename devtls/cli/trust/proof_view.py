"""How `devtls trust` and `devtls setup` show what real clients make of the root, and what is left to a person.

Owns wording and layout. Decides nothing.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass

import click

from devtls.cli import printable
from devtls.cli.terminal.table import is_wrapped, show_table
from devtls.doctor.proof import Foreign, Report
from devtls.system.changes.change import Status
from devtls.system.changes.engine import Result
from devtls.system.changes.truststore.nss_profiles import Notice


@dataclass(frozen=True)
class Trusted:
    """How the stores stand afterwards, what real clients say, and what else a person should know."""

    results: tuple[Result, ...]
    reports: tuple[Report, ...]
    notices: tuple[Notice, ...]


def show_rest(trusted: Trusted) -> None:
    """Show all but the stores' own rows: the proof, what is done by hand, what completes it, what else was found."""
    results, reports = trusted.results, trusted.reports
    if reports:
        click.echo("")
        rows = [(report.client, _proof_text(report), _foreign_text(report)) for report in reports]
        show_table(("Client", "Proof", "A name outside the zones"), rows)
        _advise_variables(reports)
    for manual in dict.fromkeys(result.manual for result in results if result.manual):
        click.echo(f"\nManually: {printable(manual)}", err=True)
    completing = dict.fromkeys(result.state.remedy for result in results if result.state.status is Status.NO_TOOL)
    if completing:
        click.echo(f"\nTo complete it: {printable('; '.join(completing))}.", err=True)
    for notice in trusted.notices:
        click.echo(f"\n{printable(notice.text)}\n  try: {notice.remedy}", err=True)


def _proof_text(report: Report) -> str:
    """Return the verdict; a terminal's column would break a path in the middle, and the whole line stands below."""
    if report.setting and is_wrapped():
        return str(report).replace(report.setting, f"{report.setting.partition('=')[0]}=…")
    return str(report)


def _advise_variables(reports: Iterable[Report]) -> None:
    """Say how to make a variable that a client needed stay."""
    needed = [report for report in reports if report.setting]
    if needed:
        lines = "\n".join(f"  export {setting_for_shell(setting)}" for setting in {r.setting: None for r in needed})
        *others, last = [report.client for report in needed]
        clients = f"{', '.join(others)} and {last}" if others else last
        click.echo(f"\nFor {clients}, add this to your shell's profile (~/.profile):\n\n{lines}", err=True)
        click.echo('\nOr, for these and every other tool with a list of its own: eval "$(devtls env)"', err=True)


def setting_for_shell(setting: str) -> str:
    """Return `NAME=value` as a shell reads it."""
    name, _, value = setting.partition("=")
    return f"{name}={shlex.quote(printable(value))}"


def _foreign_text(report: Report) -> str:
    match report.foreign:
        case Foreign.REFUSED_FOR_NAME:
            return "refused"
        case Foreign.REFUSED_OTHERWISE:
            return f"refused: {report.foreign_why}"
        case Foreign.ACCEPTED:
            return "ACCEPTED"
        case Foreign.NOT_TRIED:
            return "not tried"
