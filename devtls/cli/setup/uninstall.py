"""`devtls uninstall`: everything that devtls put on this machine goes, in one plan that is shown and asked for once.

Owns the order: what `devtls setup` did, the proxies that run, the root in the stores, the CA, the state folder. Works
when the CA is gone or damaged. Refuses to delete what is the user's: the folder with their `devtls.toml`, and files in
the state folder that devtls did not make. What could not be taken back stays recorded, so that a second run goes on.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path, PurePath

import click

from devtls.cli import printable
from devtls.cli.setup import unsetup
from devtls.cli.terminal.change_view import change_json, password_notice, plan_text, revert_rows
from devtls.cli.terminal.prompts import ask_or_refuse
from devtls.cli.terminal.reporter import TerminalReporter
from devtls.cli.terminal.table import show_table
from devtls.cli.trust import untrust
from devtls.errors import DevtlsError, NotRunning
from devtls.operations.control import RunningProxy, find_running
from devtls.operations.proxies import end
from devtls.system.changes.change import SETUP_PARTS, Status
from devtls.system.changes.engine import Result, as_planned
from devtls.system.machine.machine import Machine
from devtls.system.machine.paths import Paths, refuse_sudo
from devtls.system.machine.plan import Plan
from devtls.system.storage.leftovers import remove_state


@dataclass(frozen=True)
class _Uninstall:
    """Everything that was found."""

    paths: Paths
    machine: Machine
    changes: unsetup.Removal
    trust: untrust.Removal
    running: tuple[RunningProxy, ...]

    @property
    def plans(self) -> tuple[Plan, ...]:
        return (*self.changes.plans, *(proposal.plan for proposal in self.trust.proposals))

    @property
    def has_work(self) -> bool:
        return any(self.plans) or bool(self.running) or self.paths.state_dir.is_dir()

    def text(self, *, dry_run: bool) -> str:
        verb = "would" if dry_run else "will"
        lines = list(self.changes.lines())
        stores = [proposal for proposal in self.trust.proposals if proposal.plan]
        if stores:
            lines.append(plan_text(stores, self.machine.elevation, untrust.ABSENT))
        lines += [f"  {one.label} {verb} be ended, as with Ctrl-C" for one in self.running]
        if self.paths.state_dir.is_dir():
            lines.append(f"  {printable(str(self.paths.state_dir))} {verb} be removed")
        if self.trust.keystore.exists():
            lines += ["", untrust.epitaph(self.trust.keystore, dry_run=dry_run).rstrip()]
        return "\n".join(lines) + "\n" + password_notice(self.plans, self.machine.elevation)


@dataclass(frozen=True)
class _Ended:
    """What it came to; `kept` is what stays in the state folder, with the reason, `errors` of what did not end."""

    changes: tuple[Result, ...]
    stores: tuple[Result, ...]
    kept: tuple[str, ...]
    errors: tuple[DevtlsError, ...]


@click.command()
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show what would be done, with the exact commands, and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(*, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Take everything back that devtls did on this machine, delete the CA, and say how to remove the program.

    The same as devtls unsetup, devtls stop and devtls untrust --forget, and the state folder goes as well. Your own
    devtls.toml files stay.
    """
    if sys.platform != "win32":
        refuse_sudo(os.environ, os.geteuid(), "uninstall")
    paths, machine = Paths.from_environment(), Machine.here()
    changes = unsetup.look(paths, machine, SETUP_PARTS)
    found = _Uninstall(
        paths, machine, changes, untrust.look(paths, machine), tuple(find_running(paths, TerminalReporter()))
    )
    if dry_run:
        _show_dry_run(found, as_json=as_json)
        return
    if found.has_work:
        click.echo(f"This will be done:\n\n{found.text(dry_run=False)}", err=True)
        for sentence in untrust.staying(found.trust.proposals):
            click.echo(sentence, err=True)
        if not yes:
            ask_or_refuse("uninstall", "on this machine")
    ended = _carry_out(found)
    if as_json:
        click.echo(json.dumps(_values(ended), indent=2))
    else:
        _show(found, ended)
    unsetup.judge(ended.changes)
    untrust.judge(ended.stores, found.trust)
    if ended.errors:
        raise ended.errors[0]


def _show_dry_run(found: _Uninstall, *, as_json: bool) -> None:
    if as_json:
        elevation = found.machine.elevation
        changes = [proposal for proposal in found.changes.proposals if proposal.plan]
        values = {
            "dry_run": True,
            "measures": [change_json(as_planned(proposal, elevation)) for proposal in changes],
            "stores": [change_json(as_planned(each, elevation)) for each in found.trust.proposals],
            "ends": [one.about.pid for one in found.running],
            "removes": str(found.paths.state_dir),
        }
        click.echo(json.dumps(values, indent=2))
    elif found.has_work:
        click.echo(f"This would be done:\n\n{found.text(dry_run=True)}\nNothing was changed.")
    else:
        click.echo("Nothing of devtls is on this machine but the program itself.")


def _carry_out(found: _Uninstall) -> _Ended:
    changes = unsetup.carry_out(found.changes)  # the service first: it would start again what is ended
    errors = []
    for one in found.running:
        try:
            end(one)
        except NotRunning:  # the service that was taken back
            continue
        except DevtlsError as error:
            errors.append(error)
    stores = untrust.carry_out(found.trust)
    found.trust.keystore.forget()
    untrust.retire_client_files(found.paths.state_dir)
    kept = remove_state(found.paths.state_dir, found.paths.runtime_dir)
    return _Ended(changes, stores, kept, tuple(errors))


def _values(ended: _Ended) -> dict[str, object]:
    return {
        "dry_run": False,
        "measures": [change_json(result) for result in ended.changes],
        "stores": [change_json(result) for result in ended.stores],
        "kept": list(ended.kept),
        "program": _farewell(),
    }


def _show(found: _Uninstall, ended: _Ended) -> None:
    changed = [result for result in ended.stores if result.changed or result.state.status is not Status.ABSENT]
    if rows := revert_rows((*ended.changes, *changed)):
        show_table(("What", "State", "Remedy"), rows)
    state_dir = found.paths.state_dir
    if ended.kept:
        click.echo(printable(f"Still in {state_dir}: {', '.join(ended.kept)}."), err=True)
    else:
        click.echo(printable(f"{state_dir} is gone, and the CA with it."), err=True)
    if found.paths.config_dir.is_dir():
        click.echo(printable(f"{found.paths.config_dir} is yours, and stays."), err=True)
    click.echo(f"Remove the program itself: {_farewell()}", err=True)


def _farewell(prefix: str = sys.prefix, executable: str = sys.executable) -> str:
    """Return the command that removes the program, by where it runs from."""
    parts = PurePath(prefix).parts
    if "pipx" in parts:
        return "pipx uninstall devtls"
    if ("uv", "tools") in itertools.pairwise(parts):
        return "uv tool uninstall devtls"
    return f"{Path(executable)} -m pip uninstall devtls"
