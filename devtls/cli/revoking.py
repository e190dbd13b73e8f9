"""What `devtls revoke` and `devtls unrevoke` share: where they look, whom they tell, what they say.

Owns the words and the JSON. A running proxy that cannot be told looks by itself in a moment, so that is a remark and no
failure.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

import click
import msgspec

from devtls.cli import printable, show_error
from devtls.cli.certificate_view import SHORT_SERIAL
from devtls.cli.revocation_targets import IN_MEMORY, Desk, Target
from devtls.cli.running import find_running
from devtls.errors import DevtlsError
from devtls.pki.leaf import crl_url
from devtls.pki.revocation import crl_number, load_crl
from devtls.system.keystore import Keystore
from devtls.system.paths import Paths
from devtls.system.register import Register
from devtls.web.control_messages import REVOKED, RevokedRequest


class Change(msgspec.Struct, frozen=True):
    """What was asked for, and the serial numbers that it changed."""

    verb: str
    targets: tuple[Target, ...]
    changed: tuple[str, ...]
    reason: str | None = None


def open_desk() -> tuple[Register, Desk]:
    """Return the register and everything that certificates are looked up in. Raises DevtlsError."""
    now, paths = datetime.now(UTC), Paths.from_environment()
    keystore = Keystore(paths.state_dir)
    authority = keystore.load(now)
    register = Register(keystore, authority)
    return register, Desk(authority, register.history(), find_running(paths), now)


def publish(desk: Desk) -> tuple[str, ...]:
    """Have every running proxy look at the list; returns the names that it shows with another key from now on."""
    dropped: list[str] = []
    for one in desk.running:
        try:
            dropped += one.order(REVOKED, RevokedRequest()).dropped
        except DevtlsError as error:
            show_error(error)
    return tuple(dropped)


def show_change(change: Change, register: Register, desk: Desk, dropped: tuple[str, ...], *, as_values: bool) -> None:
    """Say what came of it."""
    authority = desk.authority
    url = crl_url(authority.pki_port, authority.intermediate_crl_path)
    number = crl_number(load_crl(register.published_crl()))
    done = [one for one in change.targets if one.serial in change.changed]
    before = [one for one in change.targets if one.serial not in change.changed]
    if as_values:
        told = {change.verb.lower(): msgspec.to_builtins(done), "already": msgspec.to_builtins(before)}
        click.echo(
            json.dumps(
                {**told, "reason": change.reason, "crl": url, "crl_number": number, "dropped": dropped}, indent=2
            )
        )
        return
    for word, targets in ((change.verb, done), ("Already revoked", before)):
        for one in targets:
            click.echo(printable(f"{word}  {_shown_serial(one)}  {', '.join(one.names)} ({one.place})"))
    click.echo(_where(number, url, bool(desk.running)), err=True)
    for name in dropped:
        click.echo(printable(f"devtls serve shows {name} with another key from now on."), err=True)


def _shown_serial(one: Target) -> str:
    """Return enough of a serial number to find it again: what is in no register has to be written in full."""
    return one.serial if one.place == IN_MEMORY else one.serial[:SHORT_SERIAL]


def _where(number: int, url: str, is_published: bool) -> str:
    if is_published:
        return f"List number {number} is at {url}"
    return (
        f"List number {number} is signed; while devtls serve runs it is at {url}\n"
        "devtls ca export --crl writes it to a file."
    )
