"""`devtls ca root-key`: whether the root's key was kept, and that key as PKCS #8 for other tools."""

from __future__ import annotations

from pathlib import Path

import click

from devtls.cli.terminal.output import print_json
from devtls.cli.terminal.passphrase import terminal_passphrases
from devtls.cli.terminal.reporter import TerminalReporter
from devtls.operations.ca_keys import RootKeyStatus, export_root_key, root_key_status
from devtls.operations.context import Context


@click.command(name="root-key", short_help="Say whether the root's key was kept; export it, encrypted.")
@click.option("--export-pkcs8", "out", type=click.Path(path_type=Path), metavar="FILE", help="Write it as PKCS #8.")
@click.option("--passphrase-fd", type=int, metavar="N", help="Read the passphrase from this descriptor.")
@click.option("--force", is_flag=True, help="Replace a file that exists.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def command(*, out: Path | None, passphrase_fd: int | None, force: bool, as_json: bool) -> None:
    """Say whether the root's key was kept when the CA was made; with --export-pkcs8 write it for other tools.

    The file has the same passphrase and the same encryption (PKCS #8 with scrypt) as the key in the state directory.
    """
    context = Context.here(TerminalReporter(), terminal_passphrases(passphrase_fd))
    if out is not None:
        export_root_key(context, out, force=force)
        click.echo(f"Written to {out}, under the same passphrase. Delete it when it has served.", err=True)
        return
    status = root_key_status(context)
    if as_json:
        file = str(status.file) if status.file else None
        print_json({"id": status.authority.id, "kept": status.file is not None, "file": file})
    else:
        _show(status)


def _show(status: RootKeyStatus) -> None:
    root = f"devtls root {status.authority.id}"
    if status.file is not None:
        click.echo(f"The key of {root} is kept under its passphrase: {status.file}")
    elif status.authority.imported:
        click.echo(f"{root} was made elsewhere, and its key is not here.")
    else:
        click.echo(f"The key of {root} was dropped when the CA was made: it is nowhere.")
        click.echo("devtls ca renew --keep-root-key makes a CA whose root's key is kept.", err=True)
