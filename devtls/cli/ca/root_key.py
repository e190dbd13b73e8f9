"""`devtls ca root-key`: what became of the root's key, and the key as PKCS #8 for other tools.

Owns the words for a key that is gone. Refuses to write the key without a passphrase, and to standard output.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import click

from devtls.cli.terminal.passphrase import terminal_passphrases
from devtls.errors import Refused
from devtls.pki.authority import Authority
from devtls.system.machine.paths import Paths
from devtls.system.machine.private_files import read_private_file
from devtls.system.storage.ca_directory import Locks
from devtls.system.storage.certificate_files import refuse_to_overwrite, write_files
from devtls.system.storage.keystore import Keystore
from devtls.system.storage.locked_key import Unlocker, lock

WHAT = "the root's key"


@click.command(name="root-key", short_help="Say whether the root's key was kept; export it, encrypted.")
@click.option("--export-pkcs8", "out", type=click.Path(path_type=Path), metavar="FILE", help="Write it as PKCS #8.")
@click.option("--passphrase-fd", type=int, metavar="N", help="Read the passphrase from this descriptor.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def command(*, out: Path | None, passphrase_fd: int | None, force: bool, as_json: bool) -> None:
    """Say whether the root's key was kept when the CA was made; with --export-pkcs8 write it for other tools.

    The file has the same passphrase and the same encryption (PKCS #8 with scrypt) as the key in the state directory.
    """
    keystore = Keystore(Paths.from_environment().state_dir)
    authority = keystore.load(datetime.now(UTC))
    kept = keystore.root_key_file(authority)
    if out is not None:
        _export(required_root_key(keystore, authority), out, passphrase_fd, force=force)
    elif as_json:
        click.echo(json.dumps({"id": authority.id, "kept": kept is not None, "file": str(kept) if kept else None}))
    elif kept is not None:
        click.echo(f"The key of devtls root {authority.id} is kept under its passphrase: {kept}")
    elif authority.imported:
        click.echo(f"devtls root {authority.id} was made elsewhere, and its key is not here.")
    else:
        click.echo(f"The key of devtls root {authority.id} was dropped when the CA was made: it is nowhere.")
        click.echo("devtls ca renew --keep-root-key makes a CA whose root's key is kept.", err=True)


def required_root_key(keystore: Keystore, authority: Authority) -> bytes:
    """Return the container of the root's key; raises Refused for a CA that has none."""
    kept = keystore.root_key_file(authority)
    if kept is None and authority.imported:
        raise Refused(
            f"devtls root {authority.id} was made elsewhere, and its key is not here.",
            hint="sign there; or devtls ca renew --keep-root-key makes a CA whose root's key is kept",
        )
    if kept is None:
        raise Refused(
            f"The key of devtls root {authority.id} was dropped when the CA was made, so nobody can sign with it.",
            hint="devtls ca renew --keep-root-key makes a CA whose root's key is kept, under a passphrase",
        )
    return read_private_file(kept)


def kept_root_key(descriptor: int | None) -> Locks:
    """Return what keeps the key of a root that is to be made, under a passphrase that is asked for now."""
    return Locks(root=partial(lock, passphrase=terminal_passphrases(descriptor).new(WHAT)))


def _export(container: bytes, out: Path, descriptor: int | None, *, force: bool) -> None:
    if not force:
        refuse_to_overwrite([out])
    unlock = Unlocker(WHAT, terminal_passphrases(descriptor))
    key = unlock(container)
    write_files({out: lock(key, unlock.passphrase)}, {}, force=force)
    click.echo(f"Written to {out}, under the same passphrase. Delete it when it has served.", err=True)
