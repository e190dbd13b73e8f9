"""Lines for each shell: real sh and fish read the values back; PowerShell's and cmd's are compared as text."""

from __future__ import annotations

import subprocess
import sys

import pytest

from devtls.cli.terminal.shell_lines import SHELLS, USAGE, guess_shell, shell_lines
from devtls.errors import Refused
from tests.conftest import RequireTool

VALUES = [
    "/home/me/ca-bundle.pem",
    "/a b/it's a \"folder\"/$HOME/`x`/\\n/\\'/100%/!ca*?.pem",
    "two\nlines\\",
    "-Da='b c' -Djavax.net.ssl.trustStore=/größe",
    "'",
    "",
]
SHOW = "import os, sys; sys.stdout.write(os.environ.get('DEVTLS_A', '<unset>'))"


def read_back(shell: str, lines: str) -> str:
    script = f'{lines}{sys.executable} -c "{SHOW}"\n'
    done = subprocess.run([shell], input=script, capture_output=True, text=True, timeout=30, check=True)
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("shell", ["sh", "bash", "fish"])
def test_a_shell_reads_every_value_as_it_is(shell: str, value: str, require_tool: RequireTool) -> None:
    shell_path = require_tool(shell, f"sudo apt-get install {shell}")
    form = "fish" if shell == "fish" else "sh"
    lines = shell_lines({"DEVTLS_A": value}, form)
    assert read_back(shell_path, lines) == value
    assert read_back(shell_path, lines + shell_lines({"DEVTLS_A": None}, form)) == "<unset>"


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (r"C:\Users\me\ca.pem", r"$env:A = 'C:\Users\me\ca.pem'"),
        ("it's $x", "$env:A = 'it''s $x'"),
        (
            "typographic \u2018\u2019\u201a\u201b",
            "$env:A = 'typographic \u2018\u2018\u2019\u2019\u201a\u201a\u201b\u201b'",
        ),
        (None, "Remove-Item Env:A -ErrorAction SilentlyContinue"),
    ],
)
def test_powershell(value: str | None, line: str) -> None:
    assert shell_lines({"A": value}, "pwsh") == line + "\n"


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (r"C:\Users\R&D (x)\ca.pem", r'@set "A=C:\Users\R&D (x)\ca.pem"'),
        ("100%PATH%", '@set "A=100%%PATH%%"'),
        ('-D"a & b" & <c>', '@set "A=-D"a ^& b" & <c>"'),
        (None, '@set "A="'),
    ],
)
def test_cmd(value: str | None, line: str) -> None:
    assert shell_lines({"A": value}, "cmd") == line + "\n"


@pytest.mark.parametrize("value", ["a\nb", "a\rb"])
def test_cmd_cannot_say_a_line_break(value: str) -> None:
    with pytest.raises(Refused, match="line break"):
        shell_lines({"A": value}, "cmd")


@pytest.mark.parametrize(
    ("environ", "platform", "shell"),
    [
        ({}, "linux", "sh"),
        ({"SHELL": "/bin/bash"}, "linux", "sh"),
        ({"SHELL": "/usr/local/bin/fish"}, "darwin", "fish"),
        ({"SHELL": "/usr/bin/pwsh"}, "linux", "pwsh"),
        ({"SHELL": r"C:\Program Files\Git\usr\bin\bash.exe"}, "win32", "sh"),
        ({}, "win32", "cmd"),
        ({"PSModulePath": r"C:\a;C:\b"}, "win32", "cmd"),
        ({"PSModulePath": r"C:\Users\me;C:\a;C:\b"}, "win32", "pwsh"),
    ],
)
def test_the_shell_is_guessed(environ: dict[str, str], platform: str, shell: str) -> None:
    assert guess_shell(environ, platform) == shell


def test_a_shell_of_another_language_is_named() -> None:
    with pytest.raises(Refused, match="Your shell is tcsh") as caught:
        guess_shell({"SHELL": "/bin/tcsh"}, "linux")
    assert "devtls env -- COMMAND" in caught.value.hint


def test_every_shell_has_its_way_of_use() -> None:
    assert set(USAGE) == set(SHELLS)
