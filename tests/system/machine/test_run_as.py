from __future__ import annotations

from pathlib import PureWindowsPath

import pytest

from devtls.system.machine.run_as import run_as_administrator, run_script, system_directory, was_refused

ENVIRON = {"SystemRoot": r"D:\Win"}


def test_the_program_is_elevated_and_powershell_is_not() -> None:
    run = run_as_administrator(ENVIRON, PureWindowsPath(r"D:\it's\tool.exe"), ("a b", "c"))
    assert run.argv[0] == r"D:\Win\System32\WindowsPowerShell\v1.0\powershell.exe"
    assert run.argv[-1] == (
        r"exit (Start-Process -FilePath 'D:\it''s\tool.exe' -ArgumentList '\"a b\"','c' "
        "-Verb RunAs -Wait -PassThru -WindowStyle Hidden).ExitCode"
    ).replace('\\"', '"')
    assert not run.elevate
    assert run_script(ENVIRON, "x", 3).timeout_s == 3


def test_windows_is_where_the_environment_says() -> None:
    assert system_directory({}) == PureWindowsPath(r"C:\Windows\System32")


@pytest.mark.parametrize(("said", "no"), [("The operation was canceled by the user.", True), ("exit code 1", False)])
def test_a_no_is_known(said: str, no: bool) -> None:
    assert was_refused(said) is no
