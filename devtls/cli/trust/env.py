"""`devtls env`: the variables that make every program trust the root, for a shell, one command, or a program.

Owns the four forms in which they are handed out. Refuses to write into a shell's start files. stdout holds what a
shell may evaluate and nothing else; remarks for a person go to stderr.
"""

from __future__ import annotations

import os
import sys

import click

from devtls.cli.terminal.output import print_json
from devtls.cli.terminal.passphrase import terminal_passphrases
from devtls.cli.terminal.reporter import TerminalReporter
from devtls.cli.terminal.shell_lines import SHELLS, USAGE, guess_shell, shell_lines
from devtls.operations.client_environment import prepare_environment
from devtls.operations.config_choice import report_mistake
from devtls.operations.context import Context
from devtls.system.changes.clientenv.probe import former_values
from devtls.system.machine.launch import launch


@click.command(context_settings={"allow_interspersed_args": False})
@click.option("--shell", type=click.Choice(SHELLS), help="Write for this shell; by default the one in SHELL.")
@click.option("--json", "as_json", is_flag=True, help="Print the variables as JSON.")
@click.option("--unset", is_flag=True, help="Print the lines that restore the former values.")
@click.argument("command_line", nargs=-1, metavar="[-- COMMAND [ARGUMENT]...]", type=click.UNPROCESSED)
def command(*, shell: str | None, as_json: bool, unset: bool, command_line: tuple[str, ...]) -> int:
    """Print what makes Node, Python, Java, git and others trust your CA besides whatever they trust already.

    In your shell: eval "$(devtls env)", in fish: devtls env | source. With a command, run that command with it.
    """
    if bool(command_line) + as_json + bool(shell) > 1 or (unset and command_line):
        raise click.UsageError("--shell, --json and a command exclude each other, and a command --unset.")
    context = Context.here(TerminalReporter(), terminal_passphrases())
    if unset:
        _show(former_values(context.environ, context.paths.state_dir), shell, as_json=as_json)
        return 0
    report_mistake(context.paths, context.reporter)
    environment = prepare_environment(context)
    for note in environment.notes:
        context.reporter.info(f"note: {note}")
    if command_line:
        return launch(command_line, {**context.environ, **environment.variables})
    _show(dict(environment.variables), shell, as_json=as_json)
    return 0


def _show(values: dict[str, str | None], shell: str | None, *, as_json: bool) -> None:
    if as_json:
        print_json(values)
        return
    shell = shell or guess_shell(os.environ)
    text = shell_lines(values, shell)
    # A path of other bytes than UTF-8 must reach the shell as it is.
    click.echo(text if sys.platform == "win32" else os.fsencode(text), nl=False)
    if _is_terminal():
        click.echo(f"\nThis only prints them. To set them in this shell:\n\n  {USAGE[shell]}", err=True)


def _is_terminal() -> bool:
    return sys.stdout.isatty()
