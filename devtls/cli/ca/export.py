"""`devtls ca export`: the CA's certificates and CRLs as files, never a key."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import click
from cryptography.hazmat.primitives.serialization import Encoding

from devtls.cli.terminal.passphrase import terminal_passphrases
from devtls.cli.terminal.reporter import TerminalReporter
from devtls.errors import Refused, StateError
from devtls.operations.ca import export_ca
from devtls.operations.context import Context

_ENCODINGS = {"pem": Encoding.PEM, "der": Encoding.DER}


@click.command(name="export", short_help="Write the root certificate (never a key).")
@click.option("--out", default="-", metavar="FILE", help="Where to write it; - is standard output (the default).")
@click.option(
    "--format", "form", type=click.Choice(list(_ENCODINGS)), default="pem", show_default=True, help="The encoding."
)
@click.option("--mobileconfig", is_flag=True, help="The root as a profile for iPhone, iPad and Mac.")
@click.option("--intermediate", "part", flag_value="intermediate", help="The intermediate instead of the root.")
@click.option("--chain", "part", flag_value="chain", help="Intermediate and root in one PEM file.")
@click.option("--crl", "part", flag_value="crl", help="The CRLs of all, as they are now, in one PEM file.")
@click.option("--client", is_flag=True, help="With --intermediate or --chain: the intermediate for clients.")
def command(
    *, out: str, form: str, mobileconfig: bool, client: bool, part: Literal["intermediate", "chain", "crl"] | None
) -> None:
    """Write the root certificate (never a key), for a phone, a container or a tool with a trust store of its own."""
    if part in ("chain", "crl") and form == "der":
        raise click.UsageError(f"DER holds one certificate or CRL: --{part} needs --format pem.")
    if mobileconfig and (part or form == "der"):
        raise click.UsageError("A profile holds the root, in a format of its own: --mobileconfig stands alone.")
    if client and part not in ("intermediate", "chain"):
        raise click.UsageError("--client goes with --intermediate or --chain: the root is the same for both.")
    context = Context.here(TerminalReporter(), terminal_passphrases())
    content = export_ca(
        context, "mobileconfig" if mobileconfig else part or "root", _ENCODINGS[form], "client" if client else "server"
    )
    if out != "-":
        _write(Path(out), content)
    # Bytes of a certificate can act on a terminal as control sequences.
    elif form == "der" and _is_terminal():
        raise Refused("DER is binary, and this is a terminal.", hint="devtls ca export --format der --out root.cer")
    else:
        click.echo(content, nl=False)


def _is_terminal() -> bool:
    return sys.stdout.isatty()


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise StateError(
            f"{path} cannot be written: {error.strerror}.", path=str(path), hint="name another file with --out"
        ) from error
    # stderr: stdout is for what was asked for.
    click.echo(f"Written to {path}.", err=True)
