from __future__ import annotations

import errno
import hashlib
import os
import time
from pathlib import Path

import pytest

from devtls.system.machine.execute import (
    Finished,
    NotFinished,
    ProcessRunner,
    StepFailure,
    execute,
    write_atomically,
)
from devtls.system.machine.plan import (
    ALREADY_ROOT,
    Elevation,
    MakeDirectory,
    ManualStep,
    Plan,
    RemoveFile,
    Run,
    Unchanged,
    WriteFile,
)

AS_ROOT = ProcessRunner(ALREADY_ROOT)


def _script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def _alive(pid: int) -> bool:
    try:
        return ") Z " not in (Path("/proc") / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def _finished(run: Run, runner: ProcessRunner = AS_ROOT) -> Finished:
    ended = runner.run(run)
    assert isinstance(ended, Finished)
    return ended


def test_output_and_exit_code_come_back(tmp_path: Path) -> None:
    tool = _script(tmp_path / "tool", "echo out; echo first >&2; echo last >&2; exit 3")
    ended = _finished(Run((str(tool),)))
    assert (ended.code, ended.stdout, ended.last_line) == (3, b"out\n", "last")


def test_a_silent_failure_still_says_something() -> None:
    assert Finished(4).last_line == "exit code 4"
    assert Finished(4, stdout=b"only here\n").last_line == "only here"


def test_standard_input_is_empty_unless_given(tmp_path: Path) -> None:
    tool = _script(tmp_path / "tool", "cat")
    assert _finished(Run((str(tool),))).stdout == b""
    assert _finished(Run((str(tool),), stdin=b"fed")).stdout == b"fed"


def test_variables_are_added_to_the_environment(tmp_path: Path) -> None:
    tool = _script(tmp_path / "tool", 'echo "$EXTRA:$LC_ALL:$PATH"')
    said = _finished(Run((str(tool),), env={"EXTRA": "1"})).stdout.decode().strip()
    assert said == f"1:C.UTF-8:{os.environ['PATH']}"


def test_a_program_that_is_not_elevated_has_no_terminal_to_ask_on(tmp_path: Path) -> None:
    tool = _script(tmp_path / "tool", "exec 2>/dev/null; : </dev/tty && echo asked")
    assert b"asked" not in _finished(Run((str(tool),))).stdout


def test_a_hanging_tool_is_killed_with_its_children(tmp_path: Path) -> None:
    marker = tmp_path / "pid"
    tool = _script(tmp_path / "tool", f"sleep 60 & echo $! > {marker}; wait")
    started = time.monotonic()
    ended = AS_ROOT.run(Run((str(tool),), timeout_s=0.3))
    assert isinstance(ended, NotFinished)
    assert ended.trouble is StepFailure.TIMED_OUT
    assert time.monotonic() - started < 5
    while _alive(int(marker.read_text())):
        assert time.monotonic() - started < 5
        time.sleep(0.01)


def test_an_elevated_tool_that_hangs_is_given_up(tmp_path: Path) -> None:
    sudo = _script(tmp_path / "sudo", 'exec "$@"')
    tool = _script(tmp_path / "tool", "exec sleep 60")
    runner = ProcessRunner(Elevation("sudo", (str(sudo),)))
    ended = runner.run(Run((str(tool),), elevate=True, timeout_s=0.2))
    assert isinstance(ended, NotFinished)
    assert ended.trouble is StepFailure.TIMED_OUT


def test_an_elevated_tool_that_cannot_be_killed_is_left_behind(tmp_path: Path) -> None:
    sudo = _script(tmp_path / "sudo", 'trap "" TERM; sleep 1.5 >/dev/null; exit 0')
    runner = ProcessRunner(Elevation("sudo", (str(sudo),)))
    ended = runner.run(Run(("/bin/true",), elevate=True, timeout_s=0.1))
    assert isinstance(ended, NotFinished)


def test_elevation_goes_in_front_of_the_command(tmp_path: Path) -> None:
    sudo = _script(tmp_path / "sudo", 'echo "elevated: $*"')
    runner = ProcessRunner(Elevation("sudo", (str(sudo),)))
    assert _finished(Run(("/bin/true", "x"), elevate=True), runner).stdout == b"elevated: /bin/true x\n"


def test_without_elevation_an_elevated_step_is_not_started(tmp_path: Path) -> None:
    ended = ProcessRunner(None).run(Run(("/bin/true",), elevate=True))
    assert isinstance(ended, NotFinished)
    assert ended.trouble is StepFailure.NO_ELEVATION


@pytest.mark.parametrize(("mode", "trouble"), [(None, StepFailure.NO_TOOL), (0o644, StepFailure.NOT_PERMITTED)])
def test_a_tool_that_cannot_be_started_says_why(tmp_path: Path, mode: int | None, trouble: StepFailure) -> None:
    tool = tmp_path / "tool"
    if mode is not None:
        tool.write_text("#!/bin/sh\n")
        tool.chmod(mode)
    ended = AS_ROOT.run(Run((str(tool),)))
    assert isinstance(ended, NotFinished)
    assert ended.trouble is trouble


def test_a_plan_stops_at_its_first_failure(tmp_path: Path) -> None:
    fails = Run((str(_script(tmp_path / "tool", "echo broken >&2; exit 1")),))
    outcome = execute(Plan((fails, WriteFile(tmp_path / "never", b"x"))), AS_ROOT)
    assert (outcome.failed, outcome.trouble, outcome.detail) == (fails, StepFailure.FAILED, "broken")
    assert not (tmp_path / "never").exists()


def test_a_read_only_file_system_has_its_own_name(tmp_path: Path) -> None:
    tool = _script(tmp_path / "tool", "echo 'cannot create regular file: Read-only file system' >&2; exit 1")
    assert execute(Plan((Run((str(tool),)),)), AS_ROOT).trouble is StepFailure.READ_ONLY


def test_a_tool_that_is_missing_ends_the_plan() -> None:
    assert execute(Plan((Run(("/nowhere/tool",)),)), AS_ROOT).trouble is StepFailure.NO_TOOL


def test_files_and_directories_are_done_here_when_no_rights_are_needed(tmp_path: Path) -> None:
    directory, file = tmp_path / "a" / "b", tmp_path / "a" / "b" / "file"
    old_mask = os.umask(0o077)
    try:
        assert execute(Plan((MakeDirectory(directory, 0o700), WriteFile(file, b"content", 0o644))), AS_ROOT).done
    finally:
        os.umask(old_mask)
    assert directory.stat().st_mode & 0o777 == 0o700
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"content", 0o644)
    assert execute(Plan((MakeDirectory(directory), RemoveFile(file), RemoveFile(file))), AS_ROOT).done
    assert list(directory.iterdir()) == []


def test_an_elevated_file_is_done_by_the_systems_tools(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"pem")
    step = WriteFile(target, b"pem", 0o644, elevate=True, source=source)
    assert execute(Plan((step,)), AS_ROOT).done
    assert target.read_bytes() == b"pem"
    piped = WriteFile(target, b"other", 0o640, elevate=True)
    assert execute(Plan((piped,)), AS_ROOT).done
    assert (target.read_bytes(), target.stat().st_mode & 0o777) == (b"other", 0o640)


def test_a_condition_ends_the_plan_where_the_file_is_another_by_now(tmp_path: Path) -> None:
    file, never = tmp_path / "file", WriteFile(tmp_path / "never", b"x")
    file.write_bytes(b"old")
    same = Unchanged(file, hashlib.sha256(b"old").hexdigest())
    assert execute(Plan((same, Unchanged(tmp_path / "missing", None))), AS_ROOT).done
    for changed in (Unchanged(file, None), Unchanged(tmp_path / "missing", "ab"), Unchanged(file, "ab")):
        outcome = execute(Plan((changed, never)), AS_ROOT)
        assert (outcome.failed, outcome.trouble) == (changed, StepFailure.CHANGED)
        assert outcome.detail == f"{changed.path} was changed meanwhile"
    assert execute(Plan((Unchanged(tmp_path, "ab"),)), AS_ROOT).trouble is StepFailure.FAILED
    assert not (tmp_path / "never").exists()


def test_what_a_person_must_do_ends_the_plan(tmp_path: Path) -> None:
    outcome = execute(Plan((ManualStep("mend line 7"), WriteFile(tmp_path / "never", b"x"))), AS_ROOT)
    assert (outcome.trouble, outcome.detail) == (StepFailure.MANUAL, "mend line 7")
    assert not (tmp_path / "never").exists()


def test_a_file_that_cannot_be_written_ends_the_plan(tmp_path: Path) -> None:
    outcome = execute(Plan((WriteFile(tmp_path / "missing" / "file", b"x"),)), AS_ROOT)
    assert outcome.trouble is StepFailure.FAILED
    assert "No such file" in outcome.detail


def test_a_read_only_file_system_is_told_apart_from_a_missing_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("devtls.system.machine.execute.write_atomically", refuse)
    outcome = execute(Plan((WriteFile(tmp_path / "file", b"x"),)), AS_ROOT)
    assert outcome.trouble is StepFailure.READ_ONLY


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "inside").touch()
    with pytest.raises(OSError, match="directory"):
        write_atomically(tmp_path / "target", b"x", 0o644)
    assert [path.name for path in tmp_path.iterdir()] == ["target"]
