"""How a person is asked for a passphrase: on the terminal, which does not show it."""

from __future__ import annotations

import sys

from devtls.errors import Refused
from devtls.system.storage.passphrase import OPTION, PassphraseSource


def terminal_passphrases(descriptor: int | None = None, *, option: str = OPTION) -> PassphraseSource:
    """Return the passphrases that the descriptor of `option` gives, else a person at the terminal, if there is one."""
    return PassphraseSource(descriptor, _ask if _is_terminal() else None, option)


def _ask(question: str) -> str:
    from getpass import getpass  # 1 ms that only a locked CA has to pay

    try:
        return getpass(question)
    except EOFError as error:  # Ctrl-D
        raise Refused("The input ended before a passphrase was typed: nothing was done.") from error


def _is_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()
