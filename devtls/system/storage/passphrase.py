"""Passphrases: from a descriptor or from a person, never from the command line or the environment.

Owns where one comes from, and what a new one must be like. Refuses short ones, and to wait where nobody can be asked.
How a person is asked is a parameter (`Ask`): nothing here knows of terminals.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable

import msgspec

from devtls.errors import Refused

OPTION = "--passphrase-fd"
SHORTEST = 8
_LONGEST_BYTES = 4096

Ask = Callable[[str], str]
"""Asks a person without showing what they type, and returns it; raises Refused when the input ends."""


class PassphraseSource(msgspec.Struct, frozen=True):
    """Where a passphrase comes from: the descriptor that `option` named, else a person; without `ask` from nobody."""

    descriptor: int | None = None
    ask: Ask | None = None
    option: str = OPTION

    def new(self, what: str) -> str:
        """Return a passphrase for something new, asked for twice; raises Refused."""
        if self.descriptor is not None:
            return _long_enough(read_from(self.descriptor, self.option))
        ask = self._person(what)
        passphrase = _long_enough(normal(ask(f"New passphrase for {what}: ")))
        if normal(ask("The same again: ")) != passphrase:
            raise Refused("The two were not the same: nothing was done.")
        return passphrase

    def known(self, what: str) -> str:
        """Return the passphrase of something that exists, asked for once; raises Refused."""
        if self.descriptor is not None:
            return read_from(self.descriptor, self.option)
        return normal(self._person(what)(f"Passphrase of {what}: "))

    def _person(self, what: str) -> Ask:
        if self.ask is None:
            raise Refused(
                f"The passphrase of {what} is needed, and this is no terminal to ask on.",
                hint=f"{self.option} N reads it from a descriptor: devtls … {self.option} 3 3< FILE",
            )
        return self.ask


NO_PASSPHRASES = PassphraseSource()
"""Nobody is asked: a locked key stays locked, unless the keyring knows its passphrase."""


def normal(text: str) -> str:
    """Return a passphrase in one of the spellings that keyboards give the same letters in."""
    return unicodedata.normalize("NFC", text)


def read_from(descriptor: int, option: str = OPTION) -> str:
    """Return the first line that `descriptor` gives, without its end; raises Refused, with a hint for `option`."""
    try:
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            line = file.readline(_LONGEST_BYTES)
        return normal(line.rstrip(b"\r\n").decode())
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(
            f"No passphrase can be read from descriptor {descriptor}: {error}.",
            hint=f"devtls … {option} 3 3< FILE",
        ) from error


def _long_enough(passphrase: str) -> str:
    if len(passphrase) < SHORTEST:
        raise Refused(
            f"A passphrase needs {SHORTEST} characters at least.", hint="a few words that do not belong together"
        )
    return passphrase
