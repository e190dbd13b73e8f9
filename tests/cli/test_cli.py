from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from devtls.cli.entry import run
from devtls.errors import ExitCode


def shown(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        run(list(argv))
    captured = capsys.readouterr()
    return int(ended.value.code or 0), captured.out, captured.err


def test_no_arguments_show_examples(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = shown(capsys)
    assert (code, err) == (0, "")
    assert "devtls serve app=3000" in out


@pytest.mark.parametrize(
    ("argv", "message", "hint"),
    [
        (("serv", "app=3000"), "There is no command 'serv'. Did you mean devtls serve?", "devtls --help"),
        (("xyzzy",), "There is no command 'xyzzy'.", "devtls --help"),
        (("trust", "--yess"), "No such option", "devtls trust --help"),
        (("ca", "export", "--format", "p12"), "Invalid value for '--format'", "devtls ca export --help"),
    ],
)
def test_a_mistyped_line_says_what_was_meant(
    capsys: pytest.CaptureFixture[str], argv: tuple[str, ...], message: str, hint: str
) -> None:
    code, out, err = shown(capsys, *argv)
    assert (code, out) == (ExitCode.USAGE, "")
    assert f"error: {message}" in err
    assert f"  try: {hint}\n" in err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
def test_a_full_disk_below_the_output_is_a_sentence() -> None:
    with Path("/dev/full").open("wb") as full:
        argv = [sys.executable, "-m", "devtls"]
        done = subprocess.run(argv, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=20)
    assert (done.returncode, done.stderr.count("\n")) == (ExitCode.FAILED, 1)
    assert "cannot be written: No space left" in done.stderr


def test_a_reader_that_went_away_is_no_error_message() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    argv = [sys.executable, "-m", "devtls", "--help"]
    done = subprocess.run(argv, stdout=writing, stderr=subprocess.PIPE, text=True, check=False, timeout=20)
    os.close(writing)
    assert (done.returncode, done.stderr) == (ExitCode.FAILED, "")


def test_what_was_typed_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    _, _, err = shown(capsys, "\x1b[31mred")
    assert "\x1b" not in err
