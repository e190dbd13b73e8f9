"""`devtls config schema`: the JSON Schema of devtls.toml, for editors."""

from __future__ import annotations

from pathlib import Path

import click

from devtls.cli.terminal.messages import printable
from devtls.cli.terminal.output import as_json
from devtls.config.schema import SCHEMA_LINE, SCHEMA_NAME, config_schema
from devtls.operations.config_choice import display_path
from devtls.operations.route_file import write_schema


@click.group(invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Print what editors need to know of devtls.toml."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@command.command(short_help="Print the JSON Schema of devtls.toml.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write it there, not to stdout.")
def schema(out: Path | None) -> None:
    """Print the JSON Schema of devtls.toml: names, types, defaults, ranges, and a sentence for each key.

    Editors with taplo (Even Better TOML in VS Code) read it when devtls.toml names it in its first line:
    #:schema ./devtls.schema.json
    """
    if out is None:
        click.echo(as_json(config_schema()))
        return
    write_schema(out)
    click.echo(
        printable(f"Written to {display_path(out.absolute())}. The first line of devtls.toml beside it:"), err=True
    )
    click.echo(SCHEMA_LINE.decode().strip().replace(SCHEMA_NAME, out.name))
