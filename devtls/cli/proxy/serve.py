"""`devtls serve`: the proxy in front of your apps.

Owns the options and their help, and the explanation of a port that is taken. `serve_arguments` reads plain arguments
without click; `serving` runs the proxy.
"""

from __future__ import annotations

from pathlib import Path

import click

from devtls.cli.proxy.serve_arguments import ServeArguments
from devtls.cli.proxy.serving import find_file, start
from devtls.cli.terminal.port_argument import PORT
from devtls.cli.terminal.reporter import TerminalReporter
from devtls.errors import PortInUse
from devtls.operations.context import Context
from devtls.operations.port_conflict import explain_port_in_use
from devtls.system.storage.config_discovery import FILE_NAME


@click.command()
@click.argument("routes", nargs=-1, metavar="[NAME=TARGET]...")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help=f"Use this file, not {FILE_NAME}.")
@click.option("--listen", multiple=True, metavar="ADDRESS", help="Default: 127.0.0.1 and ::1 (repeatable).")
@click.option("--https-port", type=PORT, help="Default: 443, or 8443; 0 takes a free one.")
@click.option("--http-port", type=PORT, help="Port that redirects to https. Default: 80.")
@click.option("--no-redirect", is_flag=True, help="Do not listen for http:// at all.")
@click.option("--alone", is_flag=True, help="Do not join the devtls serve that runs.")
@click.option("--allow-remote", is_flag=True, help="A TARGET here is another machine, and that is meant.")
@click.option("--log-format", type=click.Choice(["text", "json"]), help="One JSON object per line on stderr.")
@click.option("--log-file", type=click.Path(path_type=Path), metavar="FILE", help="Write everything there, not here.")
@click.option("--passphrase-fd", type=int, metavar="N", help="Where the passphrase of a locked CA is read from.")
@click.option("-v", "--verbose", is_flag=True, help="Also log why handshakes fail, and when DNS is open.")
@click.option("-q", "--quiet", is_flag=True, help="Only warnings and errors.")
def command(
    *,
    routes: tuple[str, ...],
    config: Path | None,
    listen: tuple[str, ...],
    https_port: int | None,
    http_port: int | None,
    no_redirect: bool,
    alone: bool,
    allow_remote: bool,
    log_format: str | None,
    log_file: Path | None,
    passphrase_fd: int | None,
    verbose: bool,
    quiet: bool,
) -> int:
    """Serve your apps over https, under names that browsers trust.

    A TARGET is a port (3000), host:port, a directory (./site), unix:/path or https://host. A short NAME is served in
    every zone of your CA: app is https://app.dev.local, https://app.localhost and https://app.test. Routes add up
    with those of devtls.toml, which is read again whenever it changes.

    While a devtls serve of yours runs, another one joins it: its routes are served there for as long as it runs, and
    it takes over when the first one ends. A port or an address that differs, or --alone, makes a process of its own.
    """
    if verbose and quiet:
        raise click.UsageError("Use only one of --verbose and --quiet.")
    given = ServeArguments(
        routes=routes,
        config=config,
        listen=listen,
        https_port=https_port,
        http_port=http_port,
        no_redirect=no_redirect,
        alone=alone,
        allow_remote=allow_remote,
        log_format=log_format,
        log_file=log_file,
        verbose=verbose,
        quiet=quiet,
        passphrase_fd=passphrase_fd,
    )
    try:
        return start(given)
    except PortInUse as error:
        raise explained(error, given) from error


def explained(error: PortInUse, given: ServeArguments) -> PortInUse:
    """Return the error as it is, or a better one when a proxy of this user has the port."""
    context = Context.here(TerminalReporter())
    return explain_port_in_use(context, error, given.routes, find_file(given.config, context.paths))
