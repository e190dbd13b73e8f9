"""`devtls allow`: let a project's devtls.toml do more than a cloned file may do by itself.

Owns the question and how the answer is shown. Refuses to remember anything without an answer.
"""

from __future__ import annotations

from pathlib import Path

import click
from msgspec.structs import asdict

from devtls.cli.terminal.messages import printable
from devtls.cli.terminal.output import print_json
from devtls.cli.terminal.prompts import confirmed, is_terminal
from devtls.cli.terminal.reporter import TerminalReporter
from devtls.errors import Refused
from devtls.operations.context import Context
from devtls.operations.permissions import (
    PermissionRequest,
    allow,
    file_for_permission,
    permission_request,
    revoke,
)
from devtls.system.machine.paths import refuse_sudo_for
from devtls.system.storage.allowlist import Allowlist


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--revoke", "revokes", is_flag=True, help="Revoke the permission.")
@click.option("--list", "show_list", is_flag=True, help="Show every file that is allowed.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; without --yes nothing is remembered.")
def command(file: Path | None, yes: bool, revokes: bool, show_list: bool, as_json: bool) -> None:
    """Let a project's devtls.toml name other machines, Unix sockets and directories elsewhere.

    Without FILE it is the devtls.toml that devtls serve would use here. The permission holds for this content:
    after any change of the file devtls asks again.
    """
    if sum((yes, revokes, show_list)) > 1:
        raise click.UsageError("Use only one of --yes, --revoke and --list.")
    refuse_sudo_for("allow")
    context = Context.here(TerminalReporter())
    if show_list:
        _list(context, as_json)
    elif revokes:
        _revoke(context, file_for_permission(context, file, must_exist=False), as_json)
    else:
        _allow(context, file_for_permission(context, file), yes=yes, as_json=as_json)


def _allow(context: Context, path: Path, *, yes: bool, as_json: bool) -> None:
    request = permission_request(context, path)
    allowed = request.allowed
    if not as_json:
        _show(request)
    if not allowed and (yes or (not as_json and _agreed())):
        allow(context, request)
        allowed = True
        if not as_json:
            click.echo("Allowed, until the file changes. Revoke it: devtls allow --revoke")
    if as_json:
        print_json({"file": str(path), "allowed": allowed, "reasons": [asdict(one) for one in request.reasons]})


def _show(request: PermissionRequest) -> None:
    path = request.path
    if not request.reasons:
        click.echo(printable(f"{path} asks for nothing that needs a permission."))
        return
    click.echo(
        printable(f"{path} {'is allowed already' if request.allowed else 'wants more than a project file may'}:")
    )
    for reason in request.reasons:
        click.echo(printable(f"  line {reason.line}  {reason.key}  {reason.text}"))


def _agreed() -> bool:
    if not is_terminal():
        raise Refused("This needs an answer, and there is no terminal to ask on.", hint="devtls allow --yes")
    if not confirmed("Allow it?"):
        raise Refused("Nothing was allowed.")
    return True


def _revoke(context: Context, path: Path, as_json: bool) -> None:
    revoked = revoke(context, path)
    if as_json:
        print_json({"file": str(path), "revoked": revoked})
    else:
        click.echo(printable(f"{path} is not allowed any more." if revoked else f"{path} was not allowed."))


def _list(context: Context, as_json: bool) -> None:
    entries = Allowlist(context.paths.state_dir).entries()
    if as_json:
        print_json([asdict(entry) for entry in entries])
        return
    if not entries:
        click.echo("No file is allowed.")
    for entry in entries:
        click.echo(printable(f"{entry.path}  (since {entry.allowed_at})"))
        for reason in entry.reasons:
            click.echo(printable(f"  {reason}"))
