from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

from devtls.errors import StateError
from devtls.system.machine.log_file import RotatingLog, divert_output


def test_a_full_file_makes_room_for_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "serve.log"
    path.write_text("from before\n")
    stream = RotatingLog(path, most_bytes=40)
    assert not stream.isatty()
    for number in range(6):
        print(f"line {number} ü", file=stream, flush=True)
    assert path.read_text("utf-8") == "line 2 ü\nline 3 ü\nline 4 ü\nline 5 ü\n"
    assert (tmp_path / "serve.log.1").read_text("utf-8") == "from before\nline 0 ü\nline 1 ü\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_one_long_line_is_written_whole(tmp_path: Path) -> None:
    stream = RotatingLog(tmp_path / "serve.log", most_bytes=4)
    stream.write("x" * 100)
    assert (tmp_path / "serve.log").read_text() == "x" * 100
    assert not (tmp_path / "serve.log.1").exists()


def test_all_output_goes_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)  # as under pythonw.exe
    monkeypatch.setattr(sys, "stderr", None)
    divert_output(tmp_path / "new" / "serve.log")
    print("result")
    print("talk", file=sys.stderr)
    assert (tmp_path / "new" / "serve.log").read_text() == "result\ntalk\n"


def test_a_symlink_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "serve.log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateError, match="cannot be written"):
        divert_output(tmp_path / "serve.log")
    assert not (tmp_path / "elsewhere").exists()
