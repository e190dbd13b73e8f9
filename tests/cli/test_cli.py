from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from devtls.cli import group
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
        (("xyzzy",), "There is no command 'xyzzy'.\n", "devtls --help"),
        (("start",), "There is no command 'start'. Did you mean devtls serve?", "devtls --help"),
        (("help",), "There is no command 'help'. Did you mean devtls --help?", "devtls --help"),
        (("version",), "There is no command 'version'. Did you mean devtls --version?", "devtls --help"),
        (("rm",), "There is no command 'rm'. Did you mean devtls remove?", "devtls --help"),
        (("ls",), "There is no command 'ls'. Did you mean devtls list?", "devtls --help"),
        (("run",), "There is no command 'run'. Did you mean devtls serve?", "devtls --help"),
        (("app=3000",), "There is no command 'app=3000'. Did you mean devtls serve app=3000?", "devtls --help"),
        (("3000",), "There is no command '3000'. Did you mean devtls serve app=3000?", "devtls --help"),
        (("ca", "foo"), "There is no command 'foo' in devtls ca.", "devtls ca --help"),
        (("stop", "foo"), "This is more than the command takes: foo.", "devtls stop --help"),
        (("serve", "--config"), "The option '--config' needs a value behind it.", "devtls serve --help"),
        (("add", "app"), "A route has a name and a target: devtls add app 3000", "devtls add --help"),
        (("add", "3000"), "A route has a name and a target: devtls add app 3000", "devtls add --help"),
        (("add", "a=1", "b=2"), "Add one route at a time.", "devtls add --help"),
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


def test_a_word_of_another_program_leads_to_a_command_that_exists(capsys: pytest.CaptureFixture[str]) -> None:
    for meant in dict.fromkeys(group._MEANT.values()):
        code, out, _ = shown(capsys, *meant.split(), *([] if meant.startswith("--") else ["--help"]))
        assert code == 0, meant
        assert out


@pytest.mark.parametrize(
    "argv",
    [("{}",), ("--{}",), ("allow", "{}"), ("serve", "--config", "{}"), ("add", "x", "3000", "--config", "{}"),
     ("setup", "{}"), ("add", "app", "{}"), ("serve", "{}=3000"), ("stop", "{}")],
)  # fmt: skip
def test_an_argument_is_never_shown_whole_when_it_is_as_long_as_a_command_line(
    capsys: pytest.CaptureFixture[str], argv: tuple[str, ...]
) -> None:
    code, out, err = shown(capsys, *(word.format("a" * 100_000) for word in argv))
    assert (code in (ExitCode.USAGE, ExitCode.CONFIG), out) == (True, "")
    assert len(err) < 1000
