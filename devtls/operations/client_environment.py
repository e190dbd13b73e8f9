"""The files that variables of clients name: the root alone, and bundles of it with the roots trusted before.

Owns which file a client gets, and keeping all of them in step with the CA. Refuses to write them again after
`devtls untrust`: a shell's profile that still asks for them must not bring the trust back. A list that the user's own
variable names is extended, never replaced.
"""

from __future__ import annotations

from pathlib import Path

from devtls.doctor.clients import Client, Needs
from devtls.errors import Refused, StateError
from devtls.operations.context import Context
from devtls.system.changes.clientenv.files import are_retired, renew_files, write_files
from devtls.system.changes.clientenv.planning import ClientEnvironment, plan_environment
from devtls.system.changes.clientenv.present import present_root
from devtls.system.changes.clientenv.probe import probe
from devtls.system.changes.clientenv.variables import BUNDLE_FILE, ROOT_FILE
from devtls.system.changes.truststore.bundle import write_extended_bundle, write_merged_bundle
from devtls.system.changes.truststore.root import RootCertificate
from devtls.system.machine.execute import write_atomically


def prepare_environment(context: Context) -> ClientEnvironment:
    """Write the files and return the variables that name them. Raises NoAuthority, StateError, Refused."""
    state_dir = context.paths.state_dir
    authority = context.keystore.load(context.now)
    # A profile's `eval "$(devtls env)"` runs at each login, also after devtls untrust.
    if are_retired(state_dir):
        raise Refused("devtls untrust reverted the trust in this CA.", hint="devtls trust, then devtls env again")
    environment = plan_environment(probe(state_dir, present_root(context.keystore, authority), context.environ))
    write_files(context.paths.state_dir, environment.files)
    return environment


def write_root_file(context: Context, content: bytes) -> None:
    """Write the file that commands and variables name; raises StateError."""
    path = context.paths.state_dir / ROOT_FILE
    try:
        # Atomic, since any client may be reading it now; 0644, since a root is public and services read it too.
        write_atomically(path, content, 0o644)
    except OSError as error:
        raise StateError(
            f"{path} cannot be written: {error.strerror or error}.",
            path=str(path),
            hint="check who owns the directory and whether the disk is full, then devtls trust",
        ) from error


def list_roots(context: Context, root: RootCertificate) -> None:
    """Make `root` and its older ones the roots in every file that a shell may name; raises StateError."""
    if (context.paths.state_dir / ROOT_FILE).exists():  # else devtls untrust removed it, and it stays so
        write_root_file(context, root.list_pem)
    renew_files(context.paths.state_dir, root)


def file_for(client: Client, root: RootCertificate, context: Context) -> Path | None:
    """Write the file that the client's variable has to name and return it; None when this system has no bundle."""
    directory = context.paths.state_dir
    named = Path(context.environ.get(client.variable, ""))
    # The user's own list is extended; one of ours would be extended by itself again and again.
    if named.is_file() and named not in (directory / ROOT_FILE, directory / BUNDLE_FILE):
        return write_extended_bundle(directory / f"ca-bundle-{client.variable}.pem", root, named)
    if client.needs is Needs.ROOT:
        return directory / ROOT_FILE
    return write_merged_bundle(directory / BUNDLE_FILE, root, context.machine.root)
