"""The command line: one file per command, loaded only when that command is named.

Owns what all commands share: the lazy group, how an error is shown, the exit code. stdout carries results, stderr talk.
"""

from __future__ import annotations

import importlib
import sys
from typing import NoReturn

import click

from devtls import __version__
from devtls.errors import DevtlsError, ExitCode

_COMMANDS = {
    "trust": "Make browsers and tools on this machine trust the development CA",
    "serve": "Run the HTTPS proxy in front of your apps",
    "untrust": "Take the trust back (--forget also deletes the CA)",
    "ca": "Show or export the development CA",
    "allow": "Let a project's devtls.toml name remote targets and other folders",
    "demo": "Run a sample app behind the proxy",
}
"""Command name -> help line. The module is devtls.cli.<name>, the click command in it is called `command`."""

_EXAMPLES = """\
Local HTTPS without warnings.

  devtls trust                    once: make this machine's browsers and tools trust your own CA
  devtls serve app=3000           https://app.dev.local -> your app on port 3000
  devtls demo                     see it work with a sample app

  devtls --help                   every command
"""


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command = importlib.import_module(f"devtls.cli.{cmd_name}").command
        if not isinstance(command, click.Command):
            raise TypeError(f"devtls.cli.{cmd_name}.command is no click command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in _COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches  # 3 ms that only a mistyped command needs

            close = get_close_matches(args[0], _COMMANDS, 1)
            guess = f" Did you mean devtls {close[0]}?" if close else ""
            raise click.UsageError(f"There is no command {args[0]!r}.{guess}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_LazyGroup, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="devtls")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Local development HTTPS that browsers trust."""
    if ctx.invoked_subcommand is None:
        click.echo(_EXAMPLES, nl=False)


def run(argv: list[str] | None = None) -> NoReturn:
    """Run one command and end the process with its exit code."""
    try:
        code = cli.main(args=argv, prog_name="devtls", standalone_mode=False)
    except DevtlsError as error:
        show_error(error)
        code = error.exit_code
    except click.ClickException as error:
        _show(error.format_message(), _usage_hint(error))
        code = ExitCode.USAGE
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        code = ExitCode.INTERRUPTED
    sys.exit(int(code or 0))


def show_error(error: DevtlsError) -> None:
    """Print an error and its hint on stderr, with control characters escaped."""
    _show(str(error), error.hint)


def _show(message: str, hint: str) -> None:
    click.echo(click.style("error: ", fg="red", bold=True) + printable(message), err=True)
    if hint:
        click.echo(click.style("  try: ", fg="cyan") + printable(hint), err=True)


def _usage_hint(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f"{context.command_path} --help" if context else ""


def printable(text: str) -> str:
    """Return `text` with everything a terminal could act on escaped (text from the network, from files)."""
    return "".join(
        char if char.isprintable() or char == "\n" else char.encode("unicode_escape").decode() for char in text
    )
