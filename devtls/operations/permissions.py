"""Permissions of `devtls allow`: what a project's devtls.toml may do beyond what a cloned file may do by itself.

Owns the reading of the file and the record of the permission, which holds for this content alone. Refuses files that
are broken, and files that ask for what no permission can allow.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from devtls.config import AllowanceReason, parse_config
from devtls.errors import ConfigError
from devtls.operations.config_choice import config_here
from devtls.operations.context import Context
from devtls.system.storage.allowlist import Allowlist, check_private_sockets, reasons_of
from devtls.system.storage.config_discovery import FILE_NAME, read_config_file


class PermissionRequest(msgspec.Struct, frozen=True):
    """A file, its content, and the reasons why it needs a permission."""

    path: Path
    data: bytes
    reasons: tuple[AllowanceReason, ...]
    allowed: bool
    """True as well when it needs none."""


def file_for_permission(context: Context, named: Path | None, *, must_exist: bool = True) -> Path:
    """Return the named file, the one in the named directory, or the one that counts here. Raises ConfigError."""
    if named is not None:
        path = named.absolute()
        # Not Path.is_dir, which raises for a name that no file can have.
        return path / FILE_NAME if os.path.isdir(path) else path  # noqa: PTH112
    found = config_here(context.paths)
    if found is not None:
        return found
    if not must_exist:
        return Path.cwd() / FILE_NAME
    raise ConfigError(
        f"there is no {FILE_NAME} here or in a directory above.", hint=f"Name it: devtls allow PATH/{FILE_NAME}"
    )


def permission_request(context: Context, path: Path) -> PermissionRequest:
    """Return what a file asks for. Raises ConfigError, StateError."""
    data = read_config_file(path)
    config = parse_config(data, source=str(path), directory=str(path.parent))
    # No permission lets a route into our own directories: that would publish the CA's key.
    check_private_sockets(config, context.paths)
    reasons = reasons_of(config, path)
    allowed = not reasons or Allowlist(context.paths.state_dir).allows(path, data, reasons)
    return PermissionRequest(path, data, tuple(reasons), allowed)


def allow(context: Context, request: PermissionRequest) -> None:
    """Remember that the file may do what it asks for, until its content changes. Raises StateError."""
    Allowlist(context.paths.state_dir).remember(request.path, request.data, list(request.reasons), context.now)


def revoke(context: Context, path: Path) -> bool:
    """Forget the permission of a file; False when it had none. Raises StateError."""
    return Allowlist(context.paths.state_dir).revoke(path)
