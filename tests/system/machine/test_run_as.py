from __future__ import annotations

from pathlib import PureWindowsPath

import pytest

from devtls.system.machine.run_as import (
    run_as_administrator,
    run_script,
    run_script_as_administrator,
    system_directory,
    was_refused,
)


def test_the_program_is_elevated_and_powershell_is_not() -> None:
    run = run_as_administrator(PureWindowsPath(r"D:\it's\tool.exe"), ("a b", "c"))
    assert run.argv[0] == r"C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe"
    assert run.argv[-1] == (
        r"exit (Start-Process -FilePath 'D:\it''s\tool.exe' -ArgumentList '\"a b\"','c' "
        "-Verb RunAs -Wait -PassThru -WindowStyle Hidden).ExitCode"
    ).replace('\\"', '"')
    assert not run.elevate
    assert run_script("x", 3).timeout_s == 3


def test_no_variable_says_where_the_programs_of_windows_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SystemRoot", r"C:\project")
    assert system_directory() == PureWindowsPath(r"C:\Windows\System32")
    assert all("project" not in word for word in run_script("x").argv)


def test_an_elevated_script_finds_no_modules_of_the_user() -> None:
    assert "$env:PSModulePath=$PSHOME+''\\Modules''; Get-It" in run_script_as_administrator("Get-It").argv[-1]


@pytest.mark.parametrize(("said", "no"), [("The operation was canceled by the user.", True), ("exit code 1", False)])
def test_a_no_is_known(said: str, no: bool) -> None:
    assert was_refused(said) is no
