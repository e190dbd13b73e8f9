"""A route as it is typed, turned into what stands in a file.

Owns relative paths: typed, they count from the folder one is in; written, from the file's. Refuses another machine as
a target without `--allow-remote`, and what is no target.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from devtls.config import COMMAND_LINE, StaticTarget, TcpTarget, UnixTarget, is_loopback_host
from devtls.config.edit import Value
from devtls.config.target import TargetError, join_path, parse_target
from devtls.errors import ConfigError

_AS_TYPED = ("host", "strip_prefix", "allow_remote", "hsts", "client_auth")


def typed_value(name: str, target: str, options: Mapping[str, Any], *, here: Path, directory: Path) -> Value:
    """Return what `name = …` is in a file of `folder`; `options` are those of `devtls add`. Raises ConfigError."""
    try:
        written = _target(name, target, here, directory, allowed=options["allow_remote"])
        chosen = {key: options[key] for key in _AS_TYPED if options[key]}
        for key in ("ca", "client_ca"):
            if options[key]:
                chosen[key] = _path(join_path(options[key], str(here)), here, directory)
    except TargetError as error:
        raise ConfigError(f"{error}.", source=COMMAND_LINE, key=name, hint=error.hint) from error
    chosen |= {key: False for key in ("verify", "via") if options[f"no_{key}"]}
    return {"target": written, **chosen} if chosen else written


def _target(name: str, target: str, here: Path, directory: Path, *, allowed: bool) -> int | str:
    meant = parse_target(target, str(here))
    match meant:
        case StaticTarget(path):
            place = _path(path, here, directory)
            return place if PurePath(place).is_absolute() else f"./{place}"
        case UnixTarget(path):
            return f"unix:{_path(path, here, directory)}"
        case TcpTarget(_, host, _) if not is_loopback_host(host) and not allowed:
            raise ConfigError(
                f"the target {host} is another machine.",
                source=COMMAND_LINE,
                key=name,
                hint=f"If you mean it: devtls add {name} {target} --allow-remote",
            )
        case _:
            digits = target.removeprefix(":")
            return int(digits) if digits.isdigit() else target


def _path(path: str, here: Path, directory: Path) -> str:
    """Return a path as a file in `folder` says it: relative when it lies below, and only then."""
    whole = here / path
    return whole.relative_to(directory).as_posix() if whole.is_relative_to(directory) else str(whole)
