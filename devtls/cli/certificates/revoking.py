"""What `devtls revoke` and `devtls unrevoke` share: where they look, whom they tell, what they say.

Owns the words and the JSON. A running proxy that cannot be told looks by itself in a moment, so that is a remark and no
failure.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click
import msgspec

from devtls.cli import printable, show_error
from devtls.cli.ca.root_key import WHAT
from devtls.cli.certificates.certificate_view import SHORT_SERIAL
from devtls.cli.certificates.revocation_targets import IN_MEMORY, Desk, Target
from devtls.cli.terminal.passphrase import terminal_passphrases
from devtls.cli.terminal.reporter import TerminalReporter
from devtls.errors import DevtlsError, Refused
from devtls.operations.control import find_running
from devtls.pki.leaf import crl_url
from devtls.pki.revocation import crl_number, load_crl
from devtls.system.machine.paths import Paths
from devtls.system.storage.keystore import Keystore
from devtls.system.storage.locked_key import Unlocker
from devtls.system.storage.register import Register, open_registers
from devtls.web.control_messages import REVOKED, RevokedRequest

if TYPE_CHECKING:
    from devtls.pki.signature import IssuerKey

_UNTOLD = (
    "The CA was imported and may sign no revocation list (no cRLSign): devtls itself shows such a certificate no\n"
    "more, and no other program learns of it. devtls ca renew makes a CA that can revoke."
)
_ABOUT_INTERMEDIATES = (
    "Programs that look at lists refuse it, and everything that it signed. The machine that has it is told with\n"
    "devtls ca export --crl --out FILE here, and devtls ca import --crl FILE there. Browsers look at no list of a CA\n"
    "of your own: for them, devtls ca renew, then devtls ca retire."
)


class Change(msgspec.Struct, frozen=True):
    """What was asked for, and the serial numbers that it changed."""

    verb: str
    targets: tuple[Target, ...]
    changed: frozenset[str]
    reason: str | None = None


class Published(msgspec.Struct, frozen=True):
    """A list as it is now."""

    url: str
    number: int


def open_desk(passphrase_fd: int | None) -> Desk:
    """Return everything that certificates are looked up in; a locked CA reads its passphrase from `passphrase_fd`.

    Raises DevtlsError.
    """
    now, paths = datetime.now(UTC), Paths.from_environment()
    keystore = Keystore(paths.state_dir, terminal_passphrases(passphrase_fd))
    return Desk(open_registers(keystore, now), find_running(paths, TerminalReporter()), now)


def root_key_for(desk: Desk, targets: Iterable[Target], passphrase_fd: int | None) -> IssuerKey | None:
    """Return the root's key when intermediates are meant, opened with a passphrase; None when no root has to sign.

    Raises Refused where it was not kept, WrongPassphrase.
    """
    concerned = {one.ca for one in targets if one.of_root}
    for register in desk.registers:
        if register.authority.id in concerned:
            return Unlocker(WHAT, terminal_passphrases(passphrase_fd))(_kept(register))
    return None


def _kept(register: Register) -> bytes:
    container = register.root_key_container()
    if container is None:
        raise Refused(
            f"An intermediate is revoked on its root's list, and the key of devtls root {register.authority.id} is not "
            "here to sign one.",
            hint="devtls ca renew, then devtls ca retire: the root that signed it is trusted no more",
        )
    return container


def change_each(
    desk: Desk, targets: Iterable[Target], act: Callable[[Register, list[str]], Iterable[str]]
) -> frozenset[str]:
    """Have each CA's register change what is its own; returns the serial numbers that `act` says it changed."""
    changed: set[str] = set()
    wanted = tuple(targets)
    for register in desk.registers:
        own = [one.serial for one in wanted if one.ca == register.authority.id]
        if own:
            changed.update(act(register, own))
    return frozenset(changed)


def publish(desk: Desk) -> tuple[str, ...]:
    """Have every running proxy look at the lists; returns the names that it shows with another key from now on."""
    dropped: list[str] = []
    for one in desk.running:
        try:
            dropped += one.send(REVOKED, RevokedRequest()).dropped
        except DevtlsError as error:
            show_error(error)
    return tuple(dropped)


def show_change(change: Change, desk: Desk, dropped: tuple[str, ...], *, as_values: bool) -> None:
    """Say what came of it."""
    concerned = {one.ca for one in change.targets}
    registers = [register for register in desk.registers if register.authority.id in concerned]
    of_root = any(one.of_root for one in change.targets)
    lists = [_published(register, of_root) for register in registers if of_root or register.authority.signs_lists]
    done = [one for one in change.targets if one.serial in change.changed]
    before = [one for one in change.targets if one.serial not in change.changed]
    if as_values:
        told = {change.verb.lower(): msgspec.to_builtins(done), "already": msgspec.to_builtins(before)}
        where = {"lists": msgspec.to_builtins(lists), "dropped": list(dropped)}
        click.echo(json.dumps({**told, "reason": change.reason, **where}, indent=2))
        return
    for word, targets in ((change.verb, done), ("Already revoked", before)):
        for one in targets:
            click.echo(printable(f"{word}  {_shown_serial(one)}  {', '.join(one.names)} ({one.place})"))
    for one_list in lists:
        click.echo(_where(one_list, bool(desk.running)), err=True)
    if len(lists) < len(registers):
        click.echo(_UNTOLD, err=True)
    if of_root and change.reason is not None:
        click.echo(_ABOUT_INTERMEDIATES, err=True)
    for name in dropped:
        click.echo(printable(f"devtls serve shows {name} with another key from now on."), err=True)


def _published(register: Register, of_root: bool) -> Published:
    authority = register.authority
    url = crl_url(authority.pki_port, authority.root_crl_path if of_root else authority.intermediate_crl_path)
    return Published(url, crl_number(load_crl(register.published_crl(of_root=of_root))))


def _shown_serial(one: Target) -> str:
    """Return enough of a serial number to find it again: what is in no register has to be written in full."""
    return one.serial if one.place == IN_MEMORY else one.serial[:SHORT_SERIAL]


def _where(one: Published, is_open: bool) -> str:
    if is_open:
        return f"List number {one.number} is at {one.url}"
    return (
        f"List number {one.number} is signed; while devtls serve runs it is at {one.url}\n"
        "devtls ca export --crl writes it to a file."
    )
