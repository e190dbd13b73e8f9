"""The commands as a page: what `--help` prints, from click's own values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from inspect import cleandoc

import click

from devtls.cli.group import cli
from docs.generate.configuration import table


def reference() -> str:
    """Return a heading for each command and sub-command, with its usage, its help and its options."""
    return "\n\n".join(_entry(path, command) for path, command in walk(cli, "devtls"))


def walk(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    """Yield each command below a group with its full name, groups before what is in them."""
    context = click.Context(group, info_name=path)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None:
            raise LookupError(f"{path} lists {name!r} and does not have it")
        if command.hidden:
            continue
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from walk(command, f"{path} {name}")


def _entry(path: str, command: click.Command) -> str:
    context = click.Context(command, info_name=path)
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    parts = [f"## {path}", f"```text\n{usage}\n```", _prose(command.help or "")]
    options = [row for parameter in command.params if (row := _row(parameter, context))]
    if options:
        parts.append(table(("Option", "Means"), options))
    return "\n\n".join(part for part in parts if part)


def _row(parameter: click.Parameter, context: click.Context) -> tuple[str, str] | None:
    if not isinstance(parameter, click.Option) or parameter.hidden:
        return None
    record = parameter.get_help_record(context)
    return record and (f"`{record[0]}`", _prose(record[1]))


def _prose(text: str) -> str:
    """Return help text as Markdown: markup is escaped, and lines that click is told to keep become a block of code."""
    return "\n\n".join(_paragraph(part) for part in re.split(r"\n{2,}", cleandoc(text)))


def _paragraph(text: str) -> str:
    kept = text.removeprefix("\b\n")
    return f"```text\n{kept}\n```" if kept != text else re.sub(r"([*_<>\[\]`])", r"\\\1", text)
