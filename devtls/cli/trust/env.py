"""`devtls env`: the variables that make every program trust the root, for a shell, one command, or a program.

Owns the four ways to hand them out. Refuses to write into a shell's start files, and to bring back what
`devtls untrust` took away. stdout holds what a shell may evaluate and nothing else; what a person should know goes to
stderr.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from devtls.cli import printable
from devtls.cli.terminal.shell_lines import SHELLS, USAGE, guess_shell, shell_lines
from devtls.errors import Refused
from devtls.system.changes.clientenv.files import are_retired, write_files
from devtls.system.changes.clientenv.planning import ClientEnvironment, plan_environment
from devtls.system.changes.clientenv.probe import probe
from devtls.system.changes.clientenv.restore import former_values
from devtls.system.changes.truststore.present import present_root
from devtls.system.machine.launch import launch
from devtls.system.machine.paths import Paths
from devtls.system.storage.keystore import Keystore


@click.command(context_settings={"allow_interspersed_args": False})
@click.option("--shell", type=click.Choice(SHELLS), help="Write for this shell; by default the one in SHELL.")
@click.option("--json", "as_json", is_flag=True, help="Print the variables as JSON.")
@click.option("--unset", is_flag=True, help="Print the lines that take them back.")
@click.argument("command_line", nargs=-1, metavar="[-- COMMAND [ARGUMENT]...]", type=click.UNPROCESSED)
def command(*, shell: str | None, as_json: bool, unset: bool, command_line: tuple[str, ...]) -> int:
    """Print what makes Node, Python, Java, git and others trust your CA besides whatever they trust already.

    In your shell: eval "$(devtls env)", in fish: devtls env | source. With a command, run that command with it.
    """
    if bool(command_line) + as_json + bool(shell) > 1 or (unset and command_line):
        raise click.UsageError("--shell, --json and a command exclude each other, and a command --unset.")
    state_dir = Paths.from_environment().state_dir
    if unset:
        _show(former_values(os.environ, state_dir), shell, as_json=as_json)
        return 0
    environment = _prepare(state_dir)
    for note in environment.notes:
        click.echo(f"note: {printable(note)}", err=True)
    if command_line:
        return launch(command_line, {**os.environ, **environment.variables})
    _show(dict(environment.variables), shell, as_json=as_json)
    return 0


def _prepare(state_dir: Path) -> ClientEnvironment:
    keystore = Keystore(state_dir)
    authority = keystore.load(datetime.now(UTC))
    if are_retired(state_dir):  # a shell's profile that still asks must not bring the trust back
        raise Refused("devtls untrust took the trust in this CA back.", hint="devtls trust, then devtls env again")
    environment = plan_environment(probe(state_dir, present_root(keystore, authority), os.environ))
    write_files(state_dir, environment.files)
    return environment


def _show(values: dict[str, str | None], shell: str | None, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(values, indent=2))
        return
    shell = shell or guess_shell(os.environ)
    text = shell_lines(values, shell)
    # A path of other bytes than UTF-8 must reach the shell as it is.
    click.echo(text if sys.platform == "win32" else os.fsencode(text), nl=False)
    if _is_terminal():
        click.echo(f"\nThis prints them only. So that they count in this shell:\n\n  {USAGE[shell]}", err=True)


def _is_terminal() -> bool:
    return sys.stdout.isatty()
