"""Ports on the command line."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from devtls.cli.group import cli
from devtls.cli.terminal.port_argument import PORT


@pytest.mark.parametrize(("text", "port"), [("0", 0), ("8443", 8443), ("65535", 65535)])
def test_a_port_is_a_number_of_sixteen_bits(text: str, port: int) -> None:
    assert PORT.convert(text, None, None) == port


@pytest.mark.parametrize("text", ["-1", "65536", "https", "1.5"])
def test_what_is_no_port_is_refused_in_plain_words(text: str) -> None:
    with pytest.raises(click.BadParameter, match="a port is a number from 0 to 65535"):
        PORT.convert(text, None, None)


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_the_help_speaks_of_a_port_and_of_no_formula(command: str) -> None:
    shown = CliRunner().invoke(cli, [command, "--help"]).output
    assert "--https-port PORT" in shown
    assert "<=" not in shown
    assert "RANGE" not in shown
