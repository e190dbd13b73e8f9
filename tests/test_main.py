"""The way into the command line."""

from __future__ import annotations

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
