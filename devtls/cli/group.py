"""The commands: loaded only when they are named.

Owns the list of commands, the examples without arguments, and how what click refuses is shown.
"""

from __future__ import annotations

import importlib
from difflib import get_close_matches

import click
from click.shell_completion import CompletionItem

from devtls import __version__
from devtls.cli.terminal.messages import show
from devtls.errors import ExitCode

_COMMANDS = {
    "setup": ("setup", "Trust, names that resolve, ports without a number: all at once, shown first"),
    "trust": ("trust", "Make browsers and tools on this machine trust the development CA"),
    "serve": ("proxy", "Run the HTTPS proxy in front of your apps"),
    "unsetup": ("setup", "Revert the changes of setup: names, ports, the service"),
    "uninstall": ("setup", "Revert every change, and delete the CA"),
    "untrust": ("trust", "Remove the root from every store (--forget also deletes the CA)"),
    "status": ("proxy", "Show what runs: ports, routes and whether their apps answer, the CA"),
    "list": ("proxy", "Show the routes of what runs, or of the file"),
    "add": ("proxy", "Add a route to devtls.toml, or for this run only"),
    "remove": ("proxy", "Remove a route"),
    "reload": ("proxy", "Read the configuration again"),
    "stop": ("proxy", "End a running devtls serve"),
    "service": ("setup", "Have devtls serve started by the system, as you: install, uninstall, status, logs"),
    "pac": ("proxy", "Print the address that makes names resolve in browsers, without an administrator"),
    "env": ("trust", "Print the variables for tools with their own list of roots, or run a command with them"),
    "cert": ("certificates", "Write a certificate and its key, for another server or a client"),
    "sign": ("certificates", "Sign a certificate request that was made elsewhere"),
    "certs": ("certificates", "List the certificates that were issued, or show one"),
    "revoke": ("certificates", "Revoke certificates, and publish that at once"),
    "unrevoke": ("certificates", "Release a certificate that was only on hold"),
    "ca": ("ca", "Show, export, renew the development CA"),
    "doctor": ("diagnosis", "Find out what is wrong on this machine, and fix what is safe to fix"),
    "check": ("diagnosis", "Show what a browser would decide about a server's certificate, and why"),
    "allow": ("proxy", "Let a project's devtls.toml name remote targets and other directories"),
    "config": ("proxy", "Print the JSON Schema of devtls.toml, for editors"),
    "completion": ("terminal", "Print the completion of devtls for bash, zsh or fish"),
    "demo": ("apps", "Run a sample app behind the proxy"),
}
"""Command name -> its package and help line: devtls.cli.<package>.<name> holds a click command called `command`."""

_EXAMPLES = """\
Local HTTPS without warnings.

  devtls setup                    once: your own CA trusted, names that resolve, port 443
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
        module = f"devtls.cli.{_COMMANDS[cmd_name][0]}.{cmd_name}"
        command = importlib.import_module(module).command
        if not isinstance(command, click.Command):
            raise TypeError(f"{module}.command is no click command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        # resilient_parsing: a shell's completion parses half a line, and must not fail at it.
        if args[0] not in _COMMANDS and not args[0].startswith("-") and not ctx.resilient_parsing:
            close = get_close_matches(args[0], _COMMANDS, 1)
            guess = f" Did you mean devtls {close[0]}?" if close else ""
            raise click.UsageError(f"There is no command {args[0]!r}.{guess}", ctx)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        # click's own loads every command for its help line: 0.5 s at each Tab.
        names = [
            CompletionItem(name, help=line) for name, (_, line) in _COMMANDS.items() if name.startswith(incomplete)
        ]
        return names + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in _COMMANDS.items()])


@click.group(cls=_LazyGroup, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="devtls")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Local development HTTPS that browsers trust."""
    if ctx.invoked_subcommand is None:
        click.echo(_EXAMPLES, nl=False)


def main(arguments: list[str]) -> int:
    """Run one command; returns its exit code. Raises DevtlsError."""
    try:
        code = cli.main(args=arguments, prog_name="devtls", standalone_mode=False)
    except click.ClickException as error:
        show(error.format_message(), _usage_hint(error))
        return ExitCode.USAGE
    # click's word for Ctrl-C and Ctrl-D at a question.
    except click.Abort as error:
        raise KeyboardInterrupt from error
    return int(code or 0)


def _usage_hint(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f"{context.command_path} --help" if context else ""
