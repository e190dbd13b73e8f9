"""The man page devtls(1), from click's own values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from inspect import cleandoc

import click

from devtls import __version__, errors
from devtls.cli.group import cli
from devtls.errors import ExitCode
from docs.generate.code import attribute_docstrings
from docs.generate.commands import walk

_ENVIRONMENT = {
    "DEVTLS_STATE_DIR": "The directory of the CA.",
    "DEVTLS_CONFIG_DIR": "The directory of the user's own devtls.toml.",
    "DEVTLS_RUNTIME_DIR": "The directory of the control sockets.",
    "NO_COLOR": "Set, whatever the value: no colours.",
}


def man_page() -> str:
    """Return the page as man(7) macros."""
    return "\n".join(_page()) + "\n"


def _page() -> Iterator[str]:
    yield f'.TH DEVTLS 1 "" "devtls {__version__}" "User Commands"'
    yield from (".SH NAME", r"devtls \- local development HTTPS that browsers trust")
    yield from (".SH SYNOPSIS", ".B devtls", '.RI [ COMMAND ] " [" OPTIONS ]...')
    yield from (".SH DESCRIPTION", *_text(_DESCRIPTION))
    yield ".SH COMMANDS"
    for path, command in walk(cli, "devtls"):
        yield from _command(path, command)
    yield ".SH FILES"
    yield from _item("devtls.toml", "Routes and settings: the nearest one from the current directory upwards.")
    yield ".SH ENVIRONMENT"
    for name, text in _ENVIRONMENT.items():
        yield from _item(name, text)
    yield ".SH EXIT STATUS"
    for name, text in attribute_docstrings(errors, ExitCode).items():
        yield from _item(str(int(ExitCode[name])), f"{text[:1].upper()}{text[1:]}.".replace("`", ""))


_DESCRIPTION = """\
devtls makes a certificate authority for names such as app.dev.local, has browsers and tools on this machine trust it,
and serves your apps over https under those names.
"""


def _command(path: str, command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=path)
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    yield f".SS {_escaped(usage)}"
    yield from _text(command.help or "")
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            record = parameter.get_help_record(context)
            if record is not None:
                yield from _item(*record)


def _item(term: str, text: str) -> Iterator[str]:
    yield from (".TP", rf"\fB{_escaped(term)}\fR", _line(text))


def _text(text: str) -> Iterator[str]:
    r"""Yield paragraphs; click's \b keeps the lines of one as they are."""
    for paragraph in re.split(r"\n{2,}", cleandoc(text)):
        lines = paragraph.strip("\n").split("\n")
        if "\b" in lines[0]:
            yield from (".PP", ".nf", *(_line(line) for line in lines[1:] or [lines[0].strip("\b")]), ".fi")
        elif paragraph.strip():
            yield from (".PP", _line(" ".join(lines)))


def _line(text: str) -> str:
    escaped = _escaped(text)
    return rf"\&{escaped}" if escaped.startswith((".", "'")) else escaped


def _escaped(text: str) -> str:
    text = text.replace("\\", r"\e").replace("-", r"\-")
    return "".join(char if char.isascii() else rf"\[u{ord(char):04X}]" for char in text)
