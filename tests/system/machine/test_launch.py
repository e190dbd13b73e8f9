"""The command in our place: its code, its signals, its process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from devtls.errors import CommandNotRun, ExitCode
from devtls.system.machine.launch import launch, run_and_wait

PATIENCE_S = 20.0


CODE = """
import os, signal, sys
from devtls.system.machine.launch import *
signal.signal(signal.SIGINT, signal.default_int_handler)  # who starts tests in the background has them ignore it
sys.exit({}(sys.argv[1:], {{**os.environ, 'A': 'b'}}))
"""


def in_a_child(*argv: str, call: str = "launch") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CODE.format(call), *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize("call", ["launch", "run_and_wait"])
def test_it_gets_arguments_and_environment_and_gives_its_code(call: str) -> None:
    child = in_a_child("/bin/sh", "-c", 'echo "$A $1"; exit 7', "sh", "x y", call=call)
    assert child.communicate(timeout=PATIENCE_S) == ("b x y\n", "")
    assert child.returncode == 7


def test_it_is_this_very_process() -> None:
    child = in_a_child("sh", "-c", "echo $$; kill -TERM $$")
    assert child.communicate(timeout=PATIENCE_S)[0] == f"{child.pid}\n"
    assert child.returncode == -signal.SIGTERM


def test_signals_that_python_ignores_are_itself_again() -> None:
    child = in_a_child("sh", "-c", "grep SigIgn /proc/self/status")
    ignored = int(child.communicate(timeout=PATIENCE_S)[0].split()[1], 16)
    assert not ignored & (1 << (signal.SIGPIPE - 1) | 1 << (signal.SIGXFSZ - 1))


def test_where_there_is_no_exec_ctrl_c_is_the_childs_business(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    script = textwrap.dedent(
        f"""
        trap 'exit 9' INT
        : >{ready}
        while :; do sleep 0.02; done
        """
    )
    child = in_a_child("/bin/sh", "-c", script, call="run_and_wait")
    deadline = time.monotonic() + PATIENCE_S
    while not ready.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(child.pid, signal.SIGINT)
    child.communicate(timeout=PATIENCE_S)
    assert child.returncode == 9


def test_the_path_is_that_of_the_given_environment(tmp_path: Path) -> None:
    with pytest.raises(CommandNotRun, match="no command 'sh'") as caught:
        launch(["sh"], {"PATH": str(tmp_path)})
    assert caught.value.exit_code is ExitCode.NO_SUCH_COMMAND


def test_a_file_that_is_no_program_is_told_of(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("text")
    with pytest.raises(CommandNotRun, match="no program") as caught:
        launch([str(plain)], {})
    assert caught.value.exit_code is ExitCode.CANNOT_RUN
    plain.chmod(0o755)
    before = signal.getsignal(signal.SIGPIPE)
    with pytest.raises(CommandNotRun, match="Exec format error"):
        launch([str(plain)], {})
    assert signal.getsignal(signal.SIGPIPE) is before


def test_run_and_wait_returns_the_code() -> None:
    assert run_and_wait([sys.executable, "-c", "raise SystemExit(5)"], dict(os.environ)) == 5
