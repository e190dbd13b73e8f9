"""Completion in the real shells: commands, subcommands, options, names of routes."""

from __future__ import annotations

import os
import pty
import select
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from devtls.cli.group import cli
from tests.conftest import RequireTool

BIN = Path(sys.executable).parent
CASES = [
    ("devtls remo", "remove"),
    ("devtls ca rene", "renew"),
    ("devtls remove myro", "myroute"),
    ("devtls list --js", "--json"),
]


@pytest.fixture
def environ(home: Path) -> dict[str, str]:
    (home / "devtls.toml").write_text("[routes]\nmyroute = 3000\n")
    return {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}


def run(argv: list[str], environ: dict[str, str], home: Path) -> str:
    return subprocess.run(argv, env=environ, cwd=home, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.mark.parametrize(("typed", "expected"), CASES)
def test_bash(require_tool: RequireTool, environ: dict[str, str], home: Path, typed: str, expected: str) -> None:
    bash = require_tool("bash", "apt-get install bash")
    words = " ".join(map(shlex.quote, typed.split()))
    script = (
        'eval "$(devtls completion bash)"; '
        f"COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _devtls_completion devtls; "
        'printf "%s\\n" "${COMPREPLY[@]}"; complete -p devtls'
    )
    found = run([bash, "--norc", "--noprofile", "-c", script], environ, home).split("\n")
    assert expected in found
    assert any("_devtls_completion devtls" in line for line in found)


@pytest.mark.parametrize(("typed", "expected"), CASES)
def test_fish(require_tool: RequireTool, environ: dict[str, str], home: Path, typed: str, expected: str) -> None:
    fish = require_tool("fish", "apt-get install fish")
    script = f"devtls completion fish | source; complete -C {shlex.quote(typed)}"
    found = run([fish, "--no-config", "-c", script], environ, home)
    assert expected in [line.split("\t")[0] for line in found.splitlines()]


@pytest.mark.parametrize(("typed", "expected"), CASES)
def test_zsh(require_tool: RequireTool, environ: dict[str, str], home: Path, typed: str, expected: str) -> None:
    zsh = require_tool("zsh", "apt-get install zsh")
    (home / ".zshrc").write_text(
        "PS1='ready> '\nunsetopt ZLE_RPROMPT_INDENT\nautoload -U compinit && compinit -u -D\n"
        'eval "$(devtls completion zsh)"\n'
    )
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(home)
        os.execve(zsh, [zsh, "-i"], {**environ, "ZDOTDIR": str(home), "TERM": "dumb"})
    try:
        assert "ready> " in read_until(terminal, "ready> ")
        os.write(terminal, f"{typed}\t".encode())
        rest = expected[len(typed.rsplit(maxsplit=1)[-1]) :]
        assert rest in read_until(terminal, rest)
    finally:
        os.close(terminal)
        os.waitpid(process, 0)


def read_until(terminal: int, expected: str) -> str:
    shown, deadline = "", time.monotonic() + 60
    while expected not in shown and time.monotonic() < deadline:
        if select.select([terminal], [], [], 1)[0]:
            shown += os.read(terminal, 65536).decode("utf-8", "replace")
    return shown


def test_a_tab_loads_no_command() -> None:
    code = (
        "import sys; from devtls.cli.group import cli; "
        "cli.shell_complete(__import__('click').Context(cli), 're'); "
        "print(*[name for name in sys.modules if name.startswith('devtls.cli.')])"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not [name for name in loaded if name.startswith(("devtls.cli.proxy", "devtls.cli.trust", "devtls.cli.ca"))]


def test_other_shells_are_refused() -> None:
    assert CliRunner().invoke(cli, ["completion", "tcsh"]).exit_code == 2
