"""`devtls serve` without its command line: from its arguments to a running proxy.

Owns how the arguments become a Source, and the process around the proxy. Refuses to run under sudo, to listen beyond
loopback, and to start without a route. Imports nothing of click, which a start must not wait for.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from pathlib import Path
from typing import Any

from devtls.cli.proxy.serve_arguments import ServeArguments
from devtls.cli.terminal.passphrase import terminal_passphrases
from devtls.config import parse_listen_arguments, parse_route_argument
from devtls.config.lines import visible
from devtls.daemon.assembly import Daemon
from devtls.daemon.console.libraries import in_our_words
from devtls.daemon.console.lines import LineWriter
from devtls.daemon.console.log import Log
from devtls.daemon.console.style import TerminalStyle
from devtls.daemon.run import run_daemon
from devtls.daemon.source import Source, TypedRoutes
from devtls.errors import ExitCode, PortInUse, StateError
from devtls.system.control.channel import find_channels
from devtls.system.machine.log_file import divert_output
from devtls.system.machine.paths import Paths, refuse_sudo_for
from devtls.system.storage.allowlist import pin_routes
from devtls.system.storage.config_discovery import (
    FILE_NAME,
    Found,
    describe_obstacle,
    find_config,
    named_config,
    read_config_file,
)

_EXAMPLES = f"""\

  devtls serve app=3000                    https://app.dev.local -> port 3000
  devtls serve app=3000 '*.app=3000'       and every name below it
  devtls serve app=3000 app/api=8000       one path to another app
  devtls serve docs=./site                 a directory of files

Or write a {FILE_NAME}:

  [routes]
  app = 3000
"""


def start(given: ServeArguments) -> int:
    """Serve what was asked for until told to end; returns the exit code. Raises DevtlsError."""
    if given.log_file is not None:
        # First: also what goes wrong from here on belongs in the file, since a service has no terminal.
        divert_output(given.log_file)
    # Files of root's in the user's state directory would stop every later start.
    refuse_sudo_for("serve")
    flags: dict[str, Any] = {name: getattr(given, name) for name in ("https_port", "http_port", "log_format")}
    flags = {name: value for name, value in flags.items() if value is not None}
    if given.listen:
        flags["listen"] = parse_listen_arguments(given.listen)
    if given.no_redirect:
        flags["redirect"] = False
    paths = Paths.from_environment()
    directory = str(Path.cwd())
    arguments = pin_routes(
        parse_route_argument(route, directory=directory, allow_remote=given.allow_remote) for route in given.routes
    )
    typed = TypedRoutes(given.routes, directory, given.allow_remote)
    source = Source(paths, find_file(given.config, paths), arguments, flags, typed=typed)
    level = "quiet" if given.quiet else "verbose" if given.verbose else "normal"
    return serve(source, level=level, passphrase_fd=given.passphrase_fd, alone=given.alone)


def find_file(config: Path | None, paths: Paths) -> Found | None:
    """Return the named file, else the one that counts here, None when there is none."""
    if config is not None:
        return named_config(config)
    return find_config(Path.cwd(), home=Path.home(), config_dir=paths.config_dir)


def serve(source: Source, *, level: Any = "normal", passphrase_fd: int | None = None, alone: bool = False) -> int:
    """Run the proxy until it is told to end, or join the one that runs unless `alone`; return the exit code.

    A locked CA is unlocked before anything is open.
    """
    gc.disable()  # run_daemon enables it again
    style = TerminalStyle.of(sys.stderr)
    writer = LineWriter(sys.stderr)
    log = Log(writer.write, level=level, style=style, monotonic=time.monotonic)
    try:
        daemon = Daemon(source, log)
        daemon.keystore.passphrases = terminal_passphrases(passphrase_fd)
        if not alone and (code := _join(daemon, writer)) is not None:
            return code
        try:
            daemon.prepare()
        except PortInUse:
            # Another start came between: its proxy can be found by now.
            if not alone and (code := _join(daemon, writer)) is not None:
                return code
            raise
        # The configuration says it, so not before `prepare`; errors up to here are text.
        log.as_json = daemon.config.serve.log_format == "json"
        if not daemon.config.routes:
            daemon.abandon()
            sys.stderr.write(f"There is nothing to serve: {_why_nothing(source.found)}\n{_EXAMPLES}")
            return ExitCode.USAGE
        with in_our_words(log):
            return run_daemon(daemon, style)
    finally:
        gc.enable()
        # Last: the thread that writes is a daemon, and would end in the middle of a line.
        writer.close()


def _join(daemon: Daemon, writer: LineWriter) -> int | None:
    """Join the proxy that runs; None when there is none to join. Raises DevtlsError."""
    # Sockets of systemd's or launchd's are listeners of its own.
    if "LISTEN_FDS" in os.environ or not _may_run(daemon.source.paths):
        return None
    # Nothing of it in a start that finds nobody.
    from devtls.cli.terminal.reporter import TerminalReporter
    from devtls.daemon.joined.member import join

    return join(daemon, TerminalReporter(), writer.write)


def _may_run(paths: Paths) -> bool:
    """Say whether any devtls serve of this user has left a trace: one look into a directory."""
    try:
        return bool(find_channels(paths.runtime_dir))
    except StateError:  # told with the first lines of the log
        return False


def _why_nothing(found: Found | None) -> str:
    """Return the reason why there are no routes, as the rest of a sentence."""
    if found is None:
        obstacle = describe_obstacle(Path.cwd(), home=Path.home())
        return f"no routes here, and no {FILE_NAME} in this directory or above.{f' {obstacle}' if obstacle else ''}"
    empty = not read_config_file(found.path).strip()
    return f"no routes here, and {visible(str(found.path))} {'is empty' if empty else 'has none'}."
