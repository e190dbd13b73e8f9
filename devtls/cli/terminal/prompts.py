"""Questions on a terminal: asked once, on stderr, and refused where there is no terminal.

Owns the wording of the question and of both refusals. A command asks after it showed what it will do.
"""

from __future__ import annotations

import sys

import click

from devtls.errors import Refused


def is_terminal() -> bool:
    """Say whether stdin is a terminal."""
    return sys.stdin.isatty()


def refuse_without_terminal(command: str, *, has_dry_run: bool = True) -> None:
    """Raise Refused where there is no terminal to ask on; its hint names the options of `command`."""
    if not is_terminal():
        raise Refused(
            f"devtls {command} asks before it changes anything, and this is no terminal to ask on.",
            hint=f"devtls {command} --yes does it without asking{', --dry-run only shows it' if has_dry_run else ''}",
        )


def ask_or_refuse(command: str, where: str) -> None:
    """Ask whether to go ahead; raise Refused without a terminal, and unless the answer is yes."""
    refuse_without_terminal(command)
    ask("Go ahead?", where)


def ask(question: str, where: str = "in any store") -> None:
    """Ask once, on stderr; raise Refused unless the answer is yes."""
    try:
        agreed = confirmed(question)
    except click.Abort as error:  # Ctrl-C, or Ctrl-D
        raise KeyboardInterrupt(f"nothing was changed {where}") from error
    if not agreed:
        raise Refused(f"You did not say yes: nothing was changed {where}.")


def confirmed(question: str) -> bool:
    """Ask once, on stderr; say whether the answer is yes."""
    # stderr: stdout may be piped into a file or a program.
    return click.confirm(question, err=True)
