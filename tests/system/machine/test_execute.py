from __future__ import annotations

import errno
import hashlib
import os
import sys
import time
from pathlib import Path
from typing import Literal

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
    Elevation,
    MakeDirectory,
    ManualStep,
    Plan,
    RemoveFile,
    Run,
    Unchanged,
    WriteFile,
)
from tests.system.as_root import AS_ROOT, SANDBOX


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
    runner = ProcessRunner(Elevation("sudo", (str(sudo),)), SANDBOX)
    ended = runner.run(Run((str(tool),), elevate=True, timeout_s=0.2))
    assert isinstance(ended, NotFinished)
    assert ended.trouble is StepFailure.TIMED_OUT


def test_an_elevated_tool_that_cannot_be_killed_is_left_behind(tmp_path: Path) -> None:
    sudo = _script(tmp_path / "sudo", 'trap "" TERM; sleep 1.5 >/dev/null; exit 0')
    runner = ProcessRunner(Elevation("sudo", (str(sudo),)), SANDBOX)
    ended = runner.run(Run(("/bin/true",), elevate=True, timeout_s=0.1))
    assert isinstance(ended, NotFinished)


def test_elevation_goes_in_front_of_the_command(tmp_path: Path) -> None:
    sudo = _script(tmp_path / "sudo", 'echo "elevated: $*"')
    runner = ProcessRunner(Elevation("sudo", (str(sudo),)), SANDBOX)
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


def test_a_program_that_others_can_swap_is_not_started_as_root(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    tool = _script(tmp_path / "tool", f"touch {ran}")
    run = Run((str(tool),), elevate=True)
    assert isinstance(AS_ROOT.run(run), Finished)  # the plan was made when it was safe
    ran.unlink()
    tool.chmod(0o777)
    outcome = execute(Plan((run,)), AS_ROOT)
    assert (outcome.trouble, outcome.detail) == (
        StepFailure.UNSAFE,
        f"{tool} is not run as root: {tool} can be written by others than root",
    )
    assert not ran.exists()
    assert isinstance(AS_ROOT.run(Run((str(tool),))), Finished)


def test_root_writes_into_no_directory_where_others_could_put_a_link(tmp_path: Path) -> None:
    target = tmp_path / "open/file"
    target.parent.mkdir()
    target.parent.chmod(0o777)
    for step in (WriteFile(target, b"x", elevate=True), RemoveFile(target, elevate=True)):
        outcome = execute(Plan((step,)), AS_ROOT)
        assert (outcome.trouble, "left alone as root" in outcome.detail) == (StepFailure.UNSAFE, True)
    assert not target.exists()


def test_an_elevated_program_works_in_the_root_directory_with_no_variable_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("LD_PRELOAD", "JAVA_TOOL_OPTIONS", "OPENSSL_CONF", "PYTHONPATH", "BASH_ENV", "DISPLAY"):
        monkeypatch.setenv(name, "")
    tool = _script(tmp_path / "tool", "/usr/bin/env; pwd; umask")
    said = _finished(Run((str(tool),), elevate=True, env={"EXTRA": "1"})).stdout.decode().split("\n")
    assert said[-3:] == ["/", "0022", ""]
    variables = dict(line.split("=", 1) for line in said[:-3])
    assert {name: variables[name] for name in ("PATH", "LC_ALL")} == {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C.UTF-8",
    }
    assert set(variables) <= {"PATH", "LC_ALL", "HOME", "PWD", "SHLVL", "_", "OLDPWD"}
    sudo = _script(tmp_path / "sudo", 'exec "$@"')
    asking = ProcessRunner(Elevation("sudo", (str(sudo),)), SANDBOX)
    assert b"\nDISPLAY=" in b"\n" + _finished(Run((str(tool),), elevate=True), asking).stdout


def test_a_program_of_the_users_finds_no_module_in_the_directory_of_a_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert _finished(Run((str(_script(tmp_path / "tool", "pwd")),))).stdout == b"/\n"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux seals files")
def test_nobody_can_change_what_a_program_is_fed_while_a_password_is_typed(tmp_path: Path) -> None:
    tool = _script(tmp_path / "tool", "echo other 2>/dev/null 1>/dev/stdin; cat")
    assert _finished(Run((str(tool),), stdin=b"fed")).stdout == b"fed"


@pytest.mark.parametrize("tool", ["install", "tee"])
@pytest.mark.parametrize("replaces", [False, True])
def test_an_elevated_write_does_not_read_the_file_that_its_text_names(
    tmp_path: Path, replaces: bool, tool: Literal["install", "tee"]
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.symlink_to("/etc/passwd")
    if replaces:
        target.write_bytes(b"old")
    step = WriteFile(target, b"pem", 0o640, elevate=True, source=source, replaces=replaces, tool=tool)
    assert execute(Plan((step,)), AS_ROOT).done
    assert (target.read_bytes(), target.stat().st_mode & 0o777) == (b"pem", 0o640)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "target"]


class Swapping:
    """A runner whose first command writes something else than it was fed."""

    def __init__(self, path: Path, fails: str = "") -> None:
        self.path, self.fails = path, fails

    def run(self, run: Run) -> Finished | NotFinished:
        if self.fails and self.fails in run.argv[0]:
            return Finished(1, b"", b"it failed")
        ended = AS_ROOT.run(run)
        if run.stdin is not None:
            self.path.write_bytes(b"root:x:0:0")
        return ended


def test_a_file_that_does_not_hold_what_was_written_is_removed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    outcome = execute(Plan((WriteFile(target, b"pem", elevate=True),)), Swapping(target))
    assert (outcome.trouble, outcome.detail) == (StepFailure.FAILED, f"{target} does not hold what was written")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_there_before_is_not_removed(tmp_path: Path) -> None:
    target = tmp_path / "hosts"
    target.write_bytes(b"old")
    step = WriteFile(target, b"new", None, elevate=True, tool="tee")
    assert not execute(Plan((step,)), Swapping(target)).done
    assert target.exists()


def test_what_lies_beside_goes_where_the_rename_fails(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"old")
    step = WriteFile(target, b"new", elevate=True, replaces=True)
    outcome = execute(Plan((step,)), Swapping(tmp_path / "other", fails="mv"))
    assert (outcome.done, outcome.detail) == (False, "it failed")
    assert target.read_bytes() == b"old"
    assert not Path(step.beside).exists()


def test_a_write_that_came_to_nothing_is_reported(tmp_path: Path) -> None:
    class Silent:
        def run(self, run: Run) -> Finished:
            return Finished(0)

    outcome = execute(Plan((WriteFile(tmp_path / "target", b"x", elevate=True),)), Silent())
    assert "was not written: No such file" in outcome.detail
