"""`devtls config schema`."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from devtls.cli.proxy.config import command
from devtls.config.schema import config_schema
from devtls.errors import StateError


def test_it_prints_the_schema() -> None:
    assert json.loads(CliRunner().invoke(command, ["schema"]).stdout) == config_schema()


def test_it_writes_a_file_and_prints_the_line_that_names_it(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    result = CliRunner().invoke(command, ["schema", "--out", str(file)])
    assert result.stdout == "#:schema ./x.json\n"
    assert json.loads(file.read_text()) == config_schema()


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    result = CliRunner().invoke(command, ["schema", "--out", str(tmp_path / "nowhere" / "x.json")])
    assert isinstance(result.exception, StateError)


def test_without_a_command_it_shows_its_help() -> None:
    result = CliRunner().invoke(command, [])
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage:")
    assert "Print the JSON Schema of devtls.toml." in result.stdout
