"""Passphrases: read from the terminal or from a descriptor, never from the command line or the environment.

Owns the asking: twice for a new one, three tries for a known one, the keyring first where its extra is installed.
Refuses short ones, and to wait where nobody can answer.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterator
from getpass import getpass
from typing import TYPE_CHECKING

from devtls.errors import Refused, StateError, WrongPassphrase
from devtls.pki.locked_key import unlock_key
from devtls.system.storage.keyring_entry import from_keyring

if TYPE_CHECKING:
    from devtls.pki.signature import IssuerKey

OPTION = "--passphrase-fd"
SHORTEST = 8
_LONGEST_BYTES = 4096
_TRIES = 3


def normal(text: str) -> str:
    """Return a passphrase in one of the spellings that keyboards give the same letters in."""
    return unicodedata.normalize("NFC", text)


def read_from(descriptor: int, option: str = OPTION) -> str:
    """Return the first line of what `descriptor` gives, without its end; raises Refused, with a hint for `option`."""
    try:
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            line = file.readline(_LONGEST_BYTES)
        return normal(line.rstrip(b"\r\n").decode())
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(
            f"No passphrase can be read from descriptor {descriptor}: {error}.",
            hint=f"devtls … {option} 3 3< FILE",
        ) from error


def new_passphrase(what: str, descriptor: int | None = None, *, option: str = OPTION) -> str:
    """Return a passphrase for something new, asked twice, or read from the descriptor of `option`; raises Refused."""
    if descriptor is not None:
        return _long_enough(read_from(descriptor, option))
    _refuse_without_terminal(what, option)
    passphrase = _long_enough(_typed(f"New passphrase for {what}: "))
    if _typed("The same again: ") != passphrase:
        raise Refused("The two were not the same: nothing was done.")
    return passphrase


def known_passphrase(what: str, descriptor: int | None = None, *, option: str = OPTION) -> str:
    """Return the passphrase of something that is there already, asked once; raises Refused."""
    if descriptor is not None:
        return read_from(descriptor, option)
    _refuse_without_terminal(what, option)
    return _typed(f"Passphrase of {what}: ")


def _typed(question: str) -> str:
    """Return what a person types without showing it; raises Refused at the end of the input (Ctrl-D)."""
    try:
        return normal(getpass(question))
    except EOFError as error:
        raise Refused("The input ended before a passphrase was typed: nothing was done.") from error


def _long_enough(passphrase: str) -> str:
    if len(passphrase) < SHORTEST:
        raise Refused(
            f"A passphrase needs {SHORTEST} characters at least.", hint="a few words that do not belong together"
        )
    return passphrase


def _refuse_without_terminal(what: str, option: str) -> None:
    if not _is_terminal():
        raise Refused(
            f"The passphrase of {what} is asked for, and this is no terminal to ask on.",
            hint=f"{option} N reads it from a descriptor: devtls … {option} 3 3< FILE",
        )


def _is_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


class Unlocker:
    """Opens containers: with what opened one before, a descriptor, the keyring, the terminal, in this order.

    `what` is how a person knows the key; `may_ask` False leaves the terminal out.
    """

    def __init__(self, what: str, descriptor: int | None = None, *, may_ask: bool = True) -> None:
        self._what = what
        self._descriptor = descriptor
        self._is_read = False
        self.may_ask = may_ask
        self.passphrase = ""
        """The one that opened a container."""

    def __call__(self, container: bytes) -> IssuerKey:
        """Return the key; raises WrongPassphrase, StateError, CertificateError."""
        for passphrase in self._known(container):
            if passphrase and (key := self._try(container, passphrase)) is not None:
                return key
        if self._descriptor is not None:
            raise WrongPassphrase("What the descriptor gave is not the passphrase.", hint="look at what the file holds")
        if not (self.may_ask and _is_terminal()):
            raise StateError(
                f"{self._what} is locked, and there is nobody to ask for the passphrase.",
                hint="run it in a terminal, give --passphrase-fd N, or use the keyring: devtls ca lock --keyring",
            )
        return self._ask(container)

    def _known(self, container: bytes) -> Iterator[str]:
        yield self.passphrase
        if self._descriptor is not None and not self._is_read:
            self._is_read = True
            yield read_from(self._descriptor)
        yield from_keyring(container)

    def _ask(self, container: bytes) -> IssuerKey:
        for tries_left in reversed(range(_TRIES)):
            key = self._try(container, _typed(f"Passphrase of {self._what}: "))
            if key is not None:
                return key
            if tries_left:
                sys.stderr.write("That is not it. Try again.\n")
        raise WrongPassphrase(f"None of them was the passphrase of {self._what}.")

    def _try(self, container: bytes, passphrase: str) -> IssuerKey | None:
        try:
            key = unlock_key(container, passphrase)
        except WrongPassphrase:
            return None
        self.passphrase = passphrase
        return key
