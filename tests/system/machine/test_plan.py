from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath

import pytest

from devtls.system.machine.plan import (
    ALREADY_ROOT,
    ELEVATED_S,
    QUICK_S,
    Elevation,
    MakeDirectory,
    ManualStep,
    Plan,
    RemoveFile,
    Run,
    Step,
    Unchanged,
    WriteFile,
    elevated_argv,
    lower,
    render,
    render_plan,
)

SUDO = Elevation("sudo", ("/usr/bin/sudo",))
ANCHOR = PurePosixPath("/etc/anchors/devtls 1.crt")


@pytest.mark.parametrize(
    ("step", "shown"),
    [
        (Run(("/bin/tool", "a b", "$(x)")), "/bin/tool 'a b' '$(x)'"),
        (Run(("/bin/tool",), env={"B": "2 3", "A": "1"}), "A=1 B='2 3' /bin/tool"),
        (Run(("/bin/tool",), elevate=True), "/usr/bin/sudo /bin/tool"),
        (
            WriteFile(ANCHOR, b"x", 0o644, elevate=True, source=PurePosixPath("/home/u/root.pem")),
            "/usr/bin/sudo /usr/bin/install -m 0644 -- /dev/stdin '/etc/anchors/devtls 1.crt' </home/u/root.pem",
        ),
        (
            WriteFile(ANCHOR, b"x\n", 0o644, elevate=True, replaces=True),
            "/usr/bin/sudo /usr/bin/install -m 0644 -- /dev/stdin '/etc/anchors/.devtls 1.crt.devtls' <<'DEVTLS'\n"
            "x\nDEVTLS\n"
            "/usr/bin/sudo /bin/mv -f -- '/etc/anchors/.devtls 1.crt.devtls' '/etc/anchors/devtls 1.crt'",
        ),
        (
            WriteFile(PurePosixPath("/etc/resolver/test"), b"x\n", elevate=True, tool="tee"),
            "/usr/bin/sudo /usr/bin/tee /etc/resolver/test <<'DEVTLS'\nx\nDEVTLS\n"
            "/usr/bin/sudo /bin/chmod 0644 /etc/resolver/test",
        ),
        (
            WriteFile(ANCHOR, b"line\n", 0o600),
            "/usr/bin/install -m 0600 -- /dev/stdin '/etc/anchors/devtls 1.crt' <<'DEVTLS'\nline\nDEVTLS",
        ),
        (
            WriteFile(ANCHOR, b"no newline", 0o600),
            "/usr/bin/install -m 0600 -- /dev/stdin '/etc/anchors/devtls 1.crt' <<'DEVTLS'\nno newline\nDEVTLS",
        ),
        (
            WriteFile(ANCHOR, b"x\n", 0o640, elevate=True, owner=(0, 12)),
            "/usr/bin/sudo /usr/bin/install -m 0640 -o 0 -g 12 -- /dev/stdin '/etc/anchors/devtls 1.crt' <<'DEVTLS'\n"
            "x\nDEVTLS",
        ),
        (
            Run(("/usr/bin/tee", "/etc/hosts"), elevate=True, stdin=b"x\n" * 300),
            "# /usr/bin/sudo /usr/bin/tee /etc/hosts    (with 300 lines on standard input)",
        ),
        (
            Run(("/usr/bin/tee", "/x"), stdin=b"a\nDEVTLS\nrm -rf x\nDEVTLS_\n"),
            "/usr/bin/tee /x <<'DEVTLS__'\na\nDEVTLS\nrm -rf x\nDEVTLS_\nDEVTLS__",
        ),
        (Unchanged(ANCHOR, "ab"), "# Only while /etc/anchors/devtls 1.crt is as it is now:"),
        (Unchanged(ANCHOR, None), "# Only while /etc/anchors/devtls 1.crt is missing:"),
        (ManualStep("mend line 7"), "# By hand: mend line 7"),
        (MakeDirectory(PurePosixPath("/x"), 0o700), "/bin/mkdir -p -m 0700 -- /x"),
        (MakeDirectory(PureWindowsPath(r"C:\x")), r"New-Item -Force -ItemType Directory -Path 'C:\x'"),
        (RemoveFile(PureWindowsPath(r"C:\it's")), r"Remove-Item -Force -Path 'C:\it''s'"),
        (
            WriteFile(PureWindowsPath(r"C:\x"), b"a\r\nb"),
            "Set-Content -NoNewline -Path 'C:\\x' -Value @'\na\nb\n'@",
        ),
        (RemoveFile(PurePosixPath("-rf"), elevate=True), "/usr/bin/sudo /bin/rm -f -- -rf"),
    ],
)
def test_a_step_is_shown_as_the_command_that_runs(step: Step, shown: str) -> None:
    assert "\n".join(render(step, SUDO)) == shown


def test_without_elevation_the_text_shows_sudo() -> None:
    step = Run(("/bin/tool",), elevate=True)
    assert render(step, None) == ("sudo /bin/tool",)
    assert render(step, ALREADY_ROOT) == ("/bin/tool",)


def test_steps_that_may_ask_for_a_password_get_more_time() -> None:
    assert [run.timeout_s for run in lower(RemoveFile(ANCHOR))] == [QUICK_S]
    assert [run.timeout_s for run in lower(RemoveFile(ANCHOR, elevate=True))] == [ELEVATED_S]


@pytest.mark.parametrize("tool", ["install", "tee"])
@pytest.mark.parametrize("replaces", [False, True])
def test_content_goes_in_on_standard_input_and_no_command_names_its_source(tool: str, replaces: bool) -> None:
    source = PurePosixPath("/home/u/root.pem")
    step = WriteFile(ANCHOR, b"abc", elevate=True, source=source, replaces=replaces, tool=tool)  # type: ignore[arg-type]  # one of two words
    runs = lower(step)
    assert [run.stdin for run in runs if run.stdin is not None] == [b"abc"]
    assert not any(str(source) in run.argv for run in runs)
    assert all(set(run.touches) <= {ANCHOR, step.beside} for run in runs)


def test_a_plan_knows_whether_it_needs_administrator_rights() -> None:
    plain, elevated = RemoveFile(ANCHOR), RemoveFile(ANCHOR, elevate=True)
    assert not Plan((plain,)).elevated
    assert Plan((plain, elevated)).elevated
    assert not Plan()
    assert Plan((plain,))
    assert len(render_plan(Plan((plain, elevated)), SUDO)) == 2


def test_a_plain_step_is_never_elevated() -> None:
    assert elevated_argv(Run(("/bin/tool",)), SUDO) == ("/bin/tool",)


@pytest.mark.parametrize(
    ("step", "shown"),
    [
        (
            MakeDirectory(PureWindowsPath(r"C:\Users\J Doe\x")),
            r"New-Item -Force -ItemType Directory -Path 'C:\Users\J Doe\x'",
        ),
        (RemoveFile(PureWindowsPath(r"C:\x\y.xml")), r"Remove-Item -Force -Path 'C:\x\y.xml'"),
        (
            WriteFile(PureWindowsPath(r"C:\y.xml"), "<a>ü</a>\n".encode("utf-16")),
            "Set-Content -NoNewline -Encoding Unicode -Path 'C:\\y.xml' -Value @'\n<a>ü</a>\n\n'@",
        ),
        (
            WriteFile(PureWindowsPath(r"C:\hosts"), b"127.0.0.1 x\r\n"),
            "Set-Content -NoNewline -Path 'C:\\hosts' -Value @'\n127.0.0.1 x\n\n'@",
        ),
    ],
)
def test_files_of_windows_are_named_as_there(step: Step, shown: str) -> None:
    assert render(step, None) == (shown,)
