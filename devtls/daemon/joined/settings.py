"""The settings of a proxy and of the processes that join it: what must agree, and what is taken over at the end.

Owns the comparison. Refuses settings that were written down or typed and are others here: nothing that somebody asked
for is ignored. What nobody has written is the proxy's.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import msgspec

from devtls.config import Config
from devtls.config.lines import visible
from devtls.daemon.assembly import Daemon
from devtls.daemon.source import SECTIONS, describe_owner, setting, written_settings
from devtls.errors import ConfigError, StateError
from devtls.web.control_messages import JoinRequest

_OPTIONS = {
    "serve.https_port": "--https-port",
    "serve.http_port": "--http-port",
    "serve.listen": "--listen",
    "serve.redirect": "--no-redirect",
}
_UNSHOWN = "acme."
"""The keys of external accounts are nothing for a terminal."""


def inherited_settings(daemon: Daemon) -> dict[str, Any]:
    """Return the settings that a process takes over with the listeners of this one."""
    config = daemon.config
    # The port itself: another free one would be no take-over.
    port = config.serve.https_port if config.serve.https_port != 0 else daemon.bound.https.port
    serve = msgspec.structs.replace(config.serve, https_port=port)
    found = {section: msgspec.to_builtins(getattr(config, section)) for section in SECTIONS}
    return found | {"serve": msgspec.to_builtins(serve)}


def read_settings(settings: Mapping[str, Any]) -> Config:
    """Return the configuration that `inherited_settings` told of. Raises msgspec.ValidationError."""
    usual = Config()
    sections = {
        name: msgspec.convert(settings[name], type=type(getattr(usual, name))) for name in SECTIONS if name in settings
    }
    return msgspec.structs.replace(usual, **sections)


def refuse_other_authority(daemon: Daemon, asked: JoinRequest) -> None:
    """Raise StateError for a process that works with another state directory or CA."""
    mine, owner = str(daemon.source.paths.state_dir), describe_owner(os.getpid(), daemon.source.typed.directory)
    if os.path.realpath(mine) != os.path.realpath(asked.state_dir):
        raise StateError(
            f"{owner} works with the state directory {mine}, this one with {visible(asked.state_dir)}.",
            path=mine,
            hint="name the same one in DEVTLS_STATE_DIR, or --alone with --https-port 0 for a process of its own",
        )
    if asked.ca_sha256 != daemon.generation.authority.fingerprint:
        raise StateError(
            f"{owner} works with another CA than the one on disk.",
            path=mine,
            hint="devtls reload; it goes on with its old CA when that fails, and says why",
        )


def refuse_other_settings(daemon: Daemon, config: Config, asked: JoinRequest) -> None:
    """Raise ConfigError for settings of a joined process that this proxy has otherwise."""
    typed = {f"serve.{name}": value for name, value in asked.flags.items()}
    wanted = written_settings(config, {}) | typed
    others = [
        _in_words(name, value, setting(daemon.config, name), typed=name in typed)
        for name, value in wanted.items()
        if not _agrees(daemon, name, value)
    ]
    if others:
        owner = describe_owner(os.getpid(), daemon.source.typed.directory)
        differ, them = ("this setting differs", "it") if len(others) == 1 else ("these settings differ", "them")
        raise ConfigError(
            f"{differ} from {owner}, which serves: {'; '.join(others)}.",
            hint=f"leave {them} out, or --alone with --https-port 0 for a process of its own",
        )


def _agrees(daemon: Daemon, name: str, value: object) -> bool:
    bound = daemon.bound
    match name:
        case "serve.log_format":
            return True
        case "serve.https_port":
            return value in (bound.https.port, bound.https_port)
        case "serve.http_port":
            return value == bound.http_port
        case "serve.listen":
            return isinstance(value, list | tuple) and set(value) == set(bound.https.addresses)
        case _:
            return value == setting(daemon.config, name)


def _in_words(name: str, here: object, there: object, *, typed: bool) -> str:
    called = _OPTIONS.get(name, name) if typed else name
    if name.startswith(_UNSHOWN):
        return called
    return f"{called} ({_shown(here)} here, {_shown(there)} there)"


def _shown(value: object) -> str:
    match value:
        case None:
            return "the usual one"
        case ():
            return "the usual ones"
        case bool():
            return "true" if value else "false"
        case list() | tuple():
            return " and ".join(map(str, value))
        case float():
            # 1 in the file is 1.0 by now.
            return f"{value:g}"
        case _:
            return visible(str(value))
