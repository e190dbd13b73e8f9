"""The way into the command line."""

from __future__ import annotations

import shlex
import subprocess
import sys

import pytest

from devtls.__main__ import main
from devtls.errors import ExitCode


def test_ctrl_c_while_modules_are_loaded_shows_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("devtls.cli.entry.run", interrupt)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == ExitCode.INTERRUPTED
    assert capsys.readouterr().err == "Interrupted.\n"


@pytest.mark.skipif(sys.platform == "win32", reason="shells there close no descriptors")
@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_command_works_with_closed_streams(closed: str) -> None:
    """Else the first socket becomes descriptor 2, and what is said goes to whoever is connected to it."""
    code = (
        "import os, sys; from unittest import mock; import devtls.cli.entry; "
        "from devtls.__main__ import main; "
        "end = lambda: sys.stderr.write('x') and sys.exit(os.open('/', os.O_RDONLY)); "
        "mock.patch('devtls.cli.entry.run', end).start(); "
        "main()"
    )
    line = f"exec {shlex.quote(sys.executable)} -c {shlex.quote(code)} {closed}"
    assert subprocess.run(["/bin/sh", "-c", line], check=False, timeout=30).returncode == 3
