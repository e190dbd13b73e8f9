"""`devtls serve`: the proxy in front of your apps.

Owns the arguments and how they become a Source. Refuses to run under sudo, to listen beyond loopback, and to start
with nothing to serve.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from pathlib import Path
from typing import Any

import click

from devtls.config import parse_listen_arguments, parse_route_argument
from devtls.daemon.source import Source
from devtls.system.discovery import FILE_NAME, Found, find_config, named_config
from devtls.system.paths import Paths, refuse_sudo

_EXAMPLES = f"""\
There is nothing to serve: no routes here, and no {FILE_NAME} in this folder or above.

  devtls serve app=3000                    https://app.dev.local -> port 3000
  devtls serve app=3000 '*.app=3000'       and every name below it
  devtls serve app=3000 app/api=8000       one path to another app
  devtls serve docs=./site                 a folder of files

Or write a {FILE_NAME}:

  [routes]
  app = 3000
"""


_PORT = click.IntRange(0, 65535)


@click.command()
@click.argument("routes", nargs=-1, metavar="[NAME=TARGET]...")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help=f"Use this file, not {FILE_NAME}.")
@click.option("--listen", multiple=True, metavar="ADDRESS", help="Default: 127.0.0.1 and ::1 (repeatable).")
@click.option("--https-port", type=_PORT, metavar="PORT", help="Default: 443, or 8443; 0 takes a free one.")
@click.option("--http-port", type=_PORT, metavar="PORT", help="Port that redirects to https. Default: 80.")
@click.option("--no-redirect", is_flag=True, help="Do not listen for http:// at all.")
@click.option("--log-format", type=click.Choice(["text", "json"]), help="One JSON object per line on stderr.")
@click.option("-v", "--verbose", is_flag=True, help="Also say why handshakes fail.")
@click.option("-q", "--quiet", is_flag=True, help="Only warnings and errors.")
def command(
    *,
    routes: tuple[str, ...],
    config: Path | None,
    listen: tuple[str, ...],
    https_port: int | None,
    http_port: int | None,
    no_redirect: bool,
    log_format: str | None,
    verbose: bool,
    quiet: bool,
) -> int:
    """Serve your apps over https, under names that browsers trust.

    A TARGET is a port (3000), host:port, a folder (./site), unix:/path or https://host. A short NAME is served in
    every zone of your CA: app is https://app.dev.local, https://app.localhost and https://app.test. Routes add up
    with those of devtls.toml, which is read again whenever it changes.
    """
    if verbose and quiet:
        raise click.UsageError("Use only one of --verbose and --quiet.")
    if sys.platform != "win32":
        refuse_sudo(os.environ, os.geteuid(), "serve")
    flags: dict[str, Any] = {"https_port": https_port, "http_port": http_port, "log_format": log_format}
    flags = {name: value for name, value in flags.items() if value is not None}
    if listen:
        flags["listen"] = parse_listen_arguments(listen)
    if no_redirect:
        flags["redirect"] = False
    paths = Paths.from_environment()
    folder = str(Path.cwd())
    arguments = tuple(parse_route_argument(route, folder=folder) for route in routes)
    source = Source(paths, _find(config, paths), arguments, flags)
    return serve(source, level="quiet" if quiet else "verbose" if verbose else "normal")


def _find(config: Path | None, paths: Paths) -> Found | None:
    if config is not None:
        return named_config(config)
    return find_config(Path.cwd(), home=Path.home(), config_dir=paths.config_dir)


def serve(source: Source, *, level: Any = "normal") -> int:
    """Run the proxy until it is told to end; return the exit code."""
    gc.disable()  # importing makes no garbage: 5 % of the time to the first answer; run_daemon enables it again
    from devtls.daemon.assembly import Daemon
    from devtls.daemon.lines import LineWriter
    from devtls.daemon.log import Log, forward_logging
    from devtls.daemon.look import Look
    from devtls.daemon.run import run_daemon
    from devtls.errors import ExitCode

    terminal = sys.stderr.isatty()
    look = Look(colour=terminal and "NO_COLOR" not in os.environ, links=terminal)
    writer = LineWriter(sys.stderr)
    log = Log(writer.write, level=level, colour=look.colour, monotonic=time.monotonic)
    try:
        daemon = Daemon(source, log)
        daemon.prepare()
        log.as_json = daemon.config.serve.log_format == "json"
        if not daemon.config.routes:
            daemon.abandon()
            click.echo(_EXAMPLES, err=True, nl=False)
            return ExitCode.USAGE
        forward_logging(log)
        return run_daemon(daemon, look)
    finally:
        gc.enable()
        writer.close()
