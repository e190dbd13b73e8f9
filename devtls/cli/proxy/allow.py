"""`devtls allow`: let a project's devtls.toml do more than a cloned file may do by itself.

Owns the question and how the answer is shown. Refuses to remember anything without an answer, files that are broken,
and files that ask for what nobody may allow.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import click
from msgspec.structs import asdict

from devtls.cli import printable
from devtls.config import AllowanceReason, parse_config
from devtls.errors import ConfigError, Refused
from devtls.system.machine.paths import Paths, refuse_sudo
from devtls.system.storage.allowlist import Allowlist, check_private_sockets, reasons_of
from devtls.system.storage.config_discovery import FILE_NAME, find_config, read_config_file


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--revoke", is_flag=True, help="Take the permission back.")
@click.option("--list", "show_list", is_flag=True, help="Show every file that is allowed.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; without --yes nothing is remembered.")
def command(file: Path | None, yes: bool, revoke: bool, show_list: bool, as_json: bool) -> None:
    """Let a project's devtls.toml name other machines, Unix sockets and folders elsewhere.

    Without FILE it is the devtls.toml that devtls serve would use here. The permission holds for this content:
    after any change of the file devtls asks again.
    """
    if sum((yes, revoke, show_list)) > 1:
        raise click.UsageError("Use only one of --yes, --revoke and --list.")
    if sys.platform != "win32":
        refuse_sudo(os.environ, os.geteuid(), "allow")
    paths = Paths.from_environment()
    allowlist = Allowlist(paths.state_dir)
    if show_list:
        _list(allowlist, as_json)
    elif revoke:
        _revoke(_chosen(file, paths, must_exist=False), allowlist, as_json)
    else:
        _allow(_chosen(file, paths), paths, allowlist, yes=yes, as_json=as_json)


def _chosen(file: Path | None, paths: Paths, *, must_exist: bool = True) -> Path:
    if file is not None:
        path = file.absolute()
        return path / FILE_NAME if path.is_dir() else path
    found = find_config(Path.cwd(), home=Path.home(), config_dir=paths.config_dir)
    if found is not None:
        return found.path
    if not must_exist:
        return Path.cwd() / FILE_NAME
    raise ConfigError(
        f"there is no {FILE_NAME} here or in a folder above.", hint=f"Name it: devtls allow PATH/{FILE_NAME}"
    )


def _allow(path: Path, paths: Paths, allowlist: Allowlist, *, yes: bool, as_json: bool) -> None:
    data = read_config_file(path)
    config = parse_config(data, source=str(path), directory=str(path.parent))
    check_private_sockets(config, paths)
    reasons = reasons_of(config, path)
    allowed = not reasons or allowlist.allows(path, data, reasons)
    if not as_json:
        _show(path, reasons, allowed=allowed)
    if not allowed and (yes or (not as_json and _agreed())):
        allowlist.remember(path, data, reasons, datetime.now(UTC))
        allowed = True
        if not as_json:
            click.echo("Allowed, until the file changes. Take it back: devtls allow --revoke")
    if as_json:
        told = {"file": str(path), "allowed": allowed, "reasons": [asdict(reason) for reason in reasons]}
        click.echo(json.dumps(told, indent=2))


def _show(path: Path, reasons: list[AllowanceReason], *, allowed: bool) -> None:
    if not reasons:
        click.echo(printable(f"{path} asks for nothing that needs a permission."))
        return
    click.echo(printable(f"{path} {'is allowed already' if allowed else 'wants more than a project file may'}:"))
    for reason in reasons:
        click.echo(printable(f"  line {reason.line}  {reason.key}  {reason.text}"))


def _agreed() -> bool:
    if not _is_terminal():
        raise Refused("This needs an answer, and there is no terminal to ask on.", hint="devtls allow --yes")
    if not click.confirm("Allow it?", err=True):
        raise Refused("Nothing was allowed.")
    return True


def _is_terminal() -> bool:
    return sys.stdin.isatty()


def _revoke(path: Path, allowlist: Allowlist, as_json: bool) -> None:
    revoked = allowlist.revoke(path)
    if as_json:
        click.echo(json.dumps({"file": str(path), "revoked": revoked}, indent=2))
    else:
        click.echo(printable(f"{path} is not allowed any more." if revoked else f"{path} was not allowed."))


def _list(allowlist: Allowlist, as_json: bool) -> None:
    entries = allowlist.entries()
    if as_json:
        click.echo(json.dumps([asdict(entry) for entry in entries], indent=2))
        return
    if not entries:
        click.echo("No file is allowed.")
    for entry in entries:
        click.echo(printable(f"{entry.path}  (since {entry.allowed_at})"))
        for reason in entry.reasons:
            click.echo(printable(f"  {reason}"))
