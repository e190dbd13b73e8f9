from __future__ import annotations

import pytest

from devtls.cli import run
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


def test_what_was_typed_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    _, _, err = shown(capsys, "\x1b[31mred")
    assert "\x1b" not in err
