"""Passphrases: typed where nobody sees them, or read from a descriptor; never an argument, which `ps` shows to all.

Owns the asking. Refuses empty ones, and to go on where there is neither a terminal nor a descriptor.
"""

from __future__ import annotations

import os
import sys

import click

from devtls.errors import Refused

_MOST_BYTES = 4096


def read_passphrase(descriptor: int | None, what: str, *, confirm: bool) -> bytes:
    """Return the passphrase for `what` (UTF-8): the first line of `descriptor`, or what is typed. Raises Refused."""
    if descriptor is not None:
        return _checked(_first_line(descriptor), what)
    if not sys.stdin.isatty():
        raise Refused(f"The passphrase for {what} has to be typed, and this is no terminal.", hint="--password-fd N")
    typed = click.prompt(f"Passphrase for {what}", hide_input=True, confirmation_prompt=confirm, err=True)
    return _checked(str(typed).encode(), what)


def _first_line(descriptor: int) -> bytes:
    content = b""
    try:
        while b"\n" not in content and len(content) <= _MOST_BYTES:
            piece = os.read(descriptor, _MOST_BYTES)
            if not piece:
                break
            content += piece
    except OSError as error:
        raise Refused(
            f"No passphrase can be read from file descriptor {descriptor}: {error.strerror}.",
            hint="--password-fd 3 3<FILE",
        ) from error
    return content.partition(b"\n")[0].removesuffix(b"\r")


def _checked(passphrase: bytes, what: str) -> bytes:
    if not passphrase:
        raise Refused(f"The passphrase for {what} is empty.", hint="choose one: it is all that protects the key")
    return passphrase
