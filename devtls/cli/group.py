"""The commands: loaded only when they are named.

Owns the list of commands, the examples without arguments, and how what click refuses is shown.
"""

from __future__ import annotations

import importlib
import re
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

_MEANT = {
    "start": "serve",
    "up": "serve",
    "run": "serve",
    "proxy": "serve",
    "init": "setup",
    "install": "setup",
    "rm": "remove",
    "delete": "remove",
    "del": "remove",
    "ls": "list",
    "routes": "list",
    "ps": "status",
    "show": "status",
    "info": "status",
    "logs": "service logs",
    "log": "service logs",
    "restart": "reload",
    "down": "stop",
    "end": "stop",
    "kill": "stop",
    "quit": "stop",
    "new": "add",
    "set": "add",
    "alias": "add",
    "route": "add",
    "open": "list",
    "url": "list",
    "get": "list",
    "mkcert": "cert",
    "certificate": "cert",
    "renew": "ca renew",
    "export": "ca export",
    "import": "ca import",
    "root": "ca",
    "test": "check",
    "verify": "check",
    "diagnose": "doctor",
    "fix": "doctor --fix",
    "hosts": "setup names",
    "dns": "setup names",
    "names": "setup names",
    "ports": "setup ports",
    "clean": "uninstall",
    "purge": "uninstall",
    "schema": "config schema",
    "help": "--help",
    "version": "--version",
}
"""What people call it who come from other programs -> the command that does it."""

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
            raise _no_such_command(args[0], ctx)
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
@click.version_option(__version__, "-V", "--version", prog_name="devtls")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Local development HTTPS that browsers trust."""
    if ctx.invoked_subcommand is None:
        click.echo(_EXAMPLES, nl=False)


def _no_such_command(name: str, ctx: click.Context) -> click.UsageError:
    close = get_close_matches(name.lower(), [*_COMMANDS, *_MEANT], 1)
    meant = _MEANT.get(name.lower()) or (_MEANT.get(close[0], close[0]) if close else "")
    guess = f" Did you mean devtls {meant}?" if meant else ""
    # `devtls app=3000`, and `devtls 3000`.
    if "=" in name or name.isdigit():
        guess = f" Did you mean devtls serve {name if '=' in name else f'app={name}'}?"
    return click.UsageError(f"There is no command {name!r}.{guess}", ctx)


def main(arguments: list[str]) -> int:
    """Run one command; returns its exit code. Raises DevtlsError."""
    try:
        code = cli.main(args=arguments, prog_name="devtls", standalone_mode=False)
    except click.ClickException as error:
        show(_in_our_words(error), _usage_hint(error, arguments))
        return ExitCode.USAGE
    # click's word for Ctrl-C and Ctrl-D at a question.
    except click.Abort as error:
        raise KeyboardInterrupt(*(error.__cause__.args if error.__cause__ is not None else ())) from error
    return int(code or 0)


def _in_our_words(error: click.ClickException) -> str:
    """Return click's message as this program would have written it."""
    message = error.format_message()
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is not None and (found := re.match(r"No such command (.*?)\.(.*)\Z", message, re.DOTALL)):
        return f"There is no command {found[1]} in {context.command_path}.{found[2]}"
    if found := re.match(r"Got unexpected extra arguments? \((.*)\)\Z", message, re.DOTALL):
        return f"This is more than the command takes: {found[1]}."
    if found := re.match(r"Option (.*) requires an argument\.\Z", message, re.DOTALL):
        return f"The option {found[1]} needs a value behind it."
    return message


def _usage_hint(error: click.ClickException, arguments: list[str]) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is None:
        # The parser of click names no command.
        return f"devtls {arguments[0]} --help" if arguments[:1] and arguments[0] in _COMMANDS else "devtls --help"
    return f"{context.command_path} --help"
