from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path, PureWindowsPath

import pytest

from devtls.system.changes.change import Change, DesiredState, Part, Status
from devtls.system.changes.resolver import hosts_windows
from devtls.system.changes.resolver.hosts import HostsFacts, HostsFile
from devtls.system.changes.resolver.hosts_unix import UnixHosts, is_mount_point
from devtls.system.changes.resolver.hosts_windows import WindowsHosts, find_directory, look_at
from devtls.system.machine.execute import Finished, NotFinished, Outcome, StepFailure, execute
from devtls.system.machine.machine import Machine
from devtls.system.machine.plan import ManualStep, Plan, Run, WriteFile
from tests.system.as_root import AS_ROOT
from tests.system.changes.resolver.conftest import WrittenRunner, make_desired
from tests.system.changes.resolver.golden_plans import check_section

DESIRED = make_desired("app.dev.local", "app.test")
LINES = b"127.0.0.1 app.dev.local\n::1 app.dev.local\n127.0.0.1 app.test\n::1 app.test\n"
FIRST = b"# devtls begin (format 1; devtls setup writes this, devtls unsetup takes it out)\n"
BLOCK = FIRST + LINES + b"# devtls end\n"
STORE = "/nix/store/abc-hosts"


@pytest.fixture
def path(machine: Machine) -> Path:
    file = machine.root / "etc" / "hosts"
    file.write_bytes(b"127.0.0.1 localhost\n")
    file.chmod(0o640)
    return file


@pytest.fixture
def hosts(machine: Machine, path: Path) -> HostsFile:
    return HostsFile(UnixHosts(machine))


def _status(hosts: HostsFile, facts: HostsFacts) -> Status:
    return hosts.state(facts, DESIRED).status


def test_names_come_and_go_by_the_systems_own_tools(hosts: HostsFile, path: Path) -> None:
    change: Change[HostsFacts, DesiredState] = hosts
    assert (change.name, change.part, change.label) == ("names:hosts", Part.NAMES, f"Block in {path}")
    before, facts = path.stat(), hosts.probe()
    assert _status(hosts, facts) is Status.ABSENT
    assert not hosts.revert_plan(facts, hosts.previous_state(facts, DESIRED))
    assert execute(hosts.apply_plan(facts, DESIRED), AS_ROOT).done
    assert path.read_bytes() == b"127.0.0.1 localhost\n" + BLOCK
    after = path.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert after.st_ino != before.st_ino  # another file took its place
    written = hosts.probe()
    assert _status(hosts, written) is Status.APPLIED
    assert not hosts.apply_plan(written, DESIRED)
    assert hosts.explain(written, DESIRED) == ""
    assert execute(hosts.revert_plan(written, {}), AS_ROOT).done
    assert path.read_bytes() == b"127.0.0.1 localhost\n"
    assert [file.name for file in path.parent.iterdir()] == ["hosts"]


def test_a_second_project_adds_its_names(hosts: HostsFile, path: Path) -> None:
    path.write_bytes(BLOCK)
    other = make_desired("shop.test", "cart.test")
    state = hosts.state(hosts.probe(), other)
    assert (state.status, state.detail) == (Status.OUTDATED, "it lacks shop.test and 1 more")
    assert execute(hosts.apply_plan(hosts.probe(), other), AS_ROOT).done
    assert hosts.state(hosts.probe(), other).status is Status.APPLIED
    assert _status(hosts, hosts.probe()) is Status.APPLIED
    gone = make_desired("app.test", zones=("test",))
    assert hosts.state(hosts.probe(), gone).detail == "some of its lines are old"
    assert execute(hosts.apply_plan(hosts.probe(), gone), AS_ROOT).done
    assert b"dev.local" not in path.read_bytes()


def test_names_outside_the_zones_and_localhost_get_no_lines(hosts: HostsFile) -> None:
    state = hosts.state(hosts.probe(), make_desired("bank.example", "localhost"))
    assert (state.status, state.detail) == (Status.APPLIED, "no route has a name that needs a line")


@pytest.mark.parametrize(
    ("comment", "who"),
    [(b"# [network]\n# generateHosts = false\n", "WSL"), (b"# 'manage_etc_hosts' as True\n", "cloud-init")],
)
def test_a_file_that_somebody_else_makes_anew_is_reported(
    hosts: HostsFile, path: Path, comment: bytes, who: str
) -> None:
    for content, status in ((comment, Status.ABSENT), (comment + BLOCK, Status.APPLIED)):
        path.write_bytes(content)
        state = hosts.state(hosts.probe(), DESIRED)
        assert (state.status, state.detail.startswith(f"{who} makes this file anew")) == (status, True)


def test_a_missing_file_is_made_and_removed_again(hosts: HostsFile, path: Path) -> None:
    path.unlink()
    facts = hosts.probe()
    kept = hosts.previous_state(facts, DESIRED)
    assert (facts.content, _status(hosts, facts), kept) == (None, Status.ABSENT, {"missing": "yes"})
    plan = hosts.apply_plan(facts, DESIRED)
    # As root the file is root's; here it is whoever runs the test.
    mine = Plan(
        tuple(
            replace(step, owner=(os.getuid(), os.getgid())) if isinstance(step, WriteFile) else step
            for step in plan.steps
        )
    )
    assert execute(mine, AS_ROOT).done
    assert path.read_bytes() == BLOCK
    assert execute(hosts.revert_plan(hosts.probe(), kept), AS_ROOT).done
    assert not path.exists()
    path.write_bytes(BLOCK)
    assert execute(hosts.revert_plan(hosts.probe(), {}), AS_ROOT).done
    assert path.read_bytes() == b""


def test_what_was_changed_after_the_look_is_not_written_over(hosts: HostsFile, path: Path) -> None:
    plan = hosts.apply_plan(hosts.probe(), DESIRED)
    path.write_bytes(b"192.0.2.1 new\n")
    outcome = execute(plan, AS_ROOT)
    assert path.read_bytes() == b"192.0.2.1 new\n"
    state = hosts.read_failure(hosts.probe(), outcome)
    assert (state.status, state.remedy) == (Status.FAILED, "devtls setup names")
    assert state.detail == f"{path} was changed meanwhile; nothing was written"


def test_what_was_changed_while_a_password_was_asked_for_is_not_written_over(hosts: HostsFile, path: Path) -> None:
    class Slow:
        def run(self, run: Run) -> Finished | NotFinished:
            if run.argv[0].endswith("install"):
                path.write_bytes(b"192.0.2.1 new\n")
            return AS_ROOT.run(run)

    outcome = execute(hosts.apply_plan(hosts.probe(), DESIRED), Slow())
    assert (outcome.trouble, path.read_bytes()) == (StepFailure.CHANGED, b"192.0.2.1 new\n")
    assert execute(hosts.revert_plan(hosts.probe(), {}), AS_ROOT).done
    assert [each.name for each in path.parent.iterdir()] == ["hosts"]


def test_what_a_plan_left_half_way_is_swept(hosts: HostsFile, path: Path) -> None:
    left = path.with_name(".hosts.devtls")
    left.write_bytes(b"x")
    facts = hosts.probe()
    assert execute(hosts.revert_plan(facts, {}), AS_ROOT).done
    assert not left.exists()
    assert not hosts.revert_plan(hosts.probe(), {})


def test_a_link_is_not_followed(hosts: HostsFile, path: Path) -> None:
    target = path.with_name("hosts.old")
    path.rename(target)
    path.symlink_to(target)
    facts = hosts.probe()
    state = hosts.state(facts, DESIRED)
    assert (state.status, str(target) in state.detail) == (Status.MANUAL, True)
    assert not hosts.apply_plan(facts, DESIRED)
    assert hosts.explain(facts, DESIRED) == f"Lines for {target}:\n{LINES.decode().rstrip()}"
    target.write_bytes(LINES)
    assert _status(hosts, hosts.probe()) is Status.APPLIED
    target.write_bytes(BLOCK)
    removal = hosts.revert_plan(hosts.probe(), {})
    assert [step for step in removal.steps if isinstance(step, ManualStep)]
    outcome = execute(removal, AS_ROOT)
    assert outcome.trouble is StepFailure.MANUAL
    assert hosts.read_failure(facts, outcome).status is Status.MANUAL
    assert target.read_bytes() == BLOCK


def test_nixos_gets_a_line_for_its_configuration(hosts: HostsFile) -> None:
    facts = HostsFacts(b"127.0.0.1 localhost\n", link=STORE)
    state = hosts.state(facts, DESIRED)
    assert (state.status, "nixos-rebuild" in state.remedy) == (Status.MANUAL, True)
    assert hosts.explain(facts, DESIRED) == (
        'networking.hosts = { "127.0.0.1" = [ "app.dev.local" "app.test" ]; "::1" = [ "app.dev.local" "app.test" ]; };'
    )


def test_a_dangling_link_is_a_link(hosts: HostsFile, path: Path) -> None:
    path.unlink()
    path.symlink_to(path.with_name("nowhere"))
    assert _status(hosts, hosts.probe()) is Status.MANUAL
    assert not hosts.apply_plan(hosts.probe(), DESIRED)


def test_a_file_with_broken_markers_is_left_to_a_person(hosts: HostsFile, path: Path) -> None:
    path.write_bytes(b"# mine\n" + FIRST + LINES)
    facts = hosts.probe()
    state = hosts.state(facts, DESIRED)
    assert (state.status, "begins in line 2 and does not end" in state.detail) == (Status.MANUAL, True)
    assert not hosts.apply_plan(facts, DESIRED)
    assert hosts.explain(facts, DESIRED).startswith("Lines for")
    outcome = execute(hosts.revert_plan(facts, {}), AS_ROOT)
    assert "begins in line 2" in hosts.read_failure(facts, outcome).detail
    path.write_bytes(b"\xff\xfe1\x00")
    assert _status(hosts, hosts.probe()) is Status.MANUAL
    assert not hosts.revert_plan(hosts.probe(), {})


def test_a_file_that_cannot_be_read_is_reported(hosts: HostsFile, path: Path) -> None:
    path.unlink()
    path.mkdir()
    state = hosts.state(hosts.probe(), DESIRED)
    assert (state.status, "is a directory" in state.detail) == (Status.MANUAL, True)
    assert not hosts.apply_plan(hosts.probe(), DESIRED)
    assert not hosts.revert_plan(hosts.probe(), {})


def test_a_read_only_file_system_is_reported(hosts: HostsFile) -> None:
    facts = HostsFacts(b"", read_only=True)
    assert _status(hosts, facts) is Status.READ_ONLY
    assert not hosts.apply_plan(facts, DESIRED)
    assert _status(hosts, HostsFacts(BLOCK, read_only=True)) is Status.APPLIED
    assert hosts.revert_plan(HostsFacts(BLOCK, read_only=True), {})  # fails, and says so


def test_a_file_that_is_a_mount_is_written_in_place(hosts: HostsFile, path: Path, machine: Machine) -> None:
    (machine.root / "proc/self").mkdir(parents=True)
    mounts = f"25 1 8:1 / / rw - ext4 /dev/sda rw\n26 25 8:1 /h {path} rw,relatime - ext4 /dev/sda rw\n"
    (machine.root / "proc/self/mountinfo").write_text(mounts)
    facts, inode = hosts.probe(), path.stat().st_ino
    assert facts.mounted
    assert execute(hosts.apply_plan(facts, DESIRED), AS_ROOT).done
    assert (path.read_bytes().endswith(BLOCK), path.stat().st_ino) == (True, inode)
    assert execute(hosts.revert_plan(hosts.probe(), {}), AS_ROOT).done
    assert path.read_bytes() == b"127.0.0.1 localhost\n"


def test_mounts_are_told_by_their_point_alone() -> None:
    assert is_mount_point("1 2 0:1 / /a\\040b rw - tmpfs none rw", "/a b")
    assert not is_mount_point("1 2 0:1 /etc/hosts /other rw - tmpfs none rw\n\n", "/etc/hosts")


@pytest.mark.parametrize(
    ("trouble", "status"),
    [
        (StepFailure.READ_ONLY, Status.READ_ONLY),
        (StepFailure.NO_TOOL, Status.NO_TOOL),
        (StepFailure.NOT_PERMITTED, Status.FAILED),
        (StepFailure.TIMED_OUT, Status.FAILED),
    ],
)
def test_each_trouble_has_its_own_state_and_a_remedy(hosts: HostsFile, trouble: StepFailure, status: Status) -> None:
    step = Run(("/bin/mv",))
    state = hosts.read_failure(HostsFacts(), Outcome(step, trouble, "why"))
    assert (state.status, state.detail, bool(state.remedy)) == (status, "why", True)


@pytest.mark.parametrize("platform", ["linux", "linux with SELinux", "darwin"])
def test_the_commands_are_the_ones_of_each_unix(machine: Machine, path: Path, platform: str) -> None:
    hosts = HostsFile(UnixHosts(replace(machine, platform=platform.partition(" ")[0])))
    facts = replace(hosts.probe(), owner=(0, 0), mode=0o644, labelled="SELinux" in platform)
    written = replace(facts, content=b"127.0.0.1 localhost\n" + BLOCK)
    plans = (hosts.apply_plan(facts, DESIRED), hosts.revert_plan(written, {}))
    check_section(f"hosts, {platform}", plans, {str(machine.root): ""})
    missing = HostsFacts(None)
    made = (hosts.apply_plan(missing, DESIRED), hosts.revert_plan(replace(facts, content=BLOCK), {"missing": "yes"}))
    check_section(f"hosts that were missing, {platform}", made, {str(machine.root): ""})


def test_a_resolver_that_was_not_told_is_reported(machine: Machine, path: Path) -> None:
    hosts = HostsFile(UnixHosts(replace(machine, platform="darwin")))
    last = hosts.apply_plan(hosts.probe(), DESIRED).steps[-1]
    state = hosts.read_failure(hosts.probe(), Outcome(last, StepFailure.FAILED, "No matching processes"))
    assert (state.status, "the file is written" in state.detail) == (Status.FAILED, True)


# Windows


def _windows(facts: HostsFacts, machine: Machine) -> HostsFile:
    environ = {"SystemRoot": r"C:\project", "LOCALAPPDATA": r"C:\Users\me o'neill\AppData\Local"}
    there = replace(machine, platform="win32", environ=environ)
    return HostsFile(WindowsHosts(there, look=lambda path: facts))


@pytest.mark.parametrize("writable", [False, True])
def test_the_commands_are_the_ones_of_windows(machine: Machine, writable: bool) -> None:
    hosts = _windows(HostsFacts(b"# Copyright\r\n", writable=writable), machine)
    block = BLOCK.replace(b"\n", b"\r\n")
    written = HostsFacts(b"# Copyright\r\n" + block, writable=writable)
    plans = (hosts.apply_plan(hosts.probe(), DESIRED), hosts.revert_plan(written, {}))
    who = "as administrator" if writable else "as a user"
    check_section(f"hosts, Windows, {who}", plans, {})
    assert hosts.state(written, DESIRED).status is Status.APPLIED
    contents = [step.content for step in plans[0].steps if isinstance(step, WriteFile)]
    assert contents == [b"# Copyright\r\n" + block]


def test_an_empty_file_of_windows_gets_its_line_ends_and_may_be_empty_again(machine: Machine) -> None:
    hosts = _windows(HostsFacts(None, writable=True), machine)
    (written,) = [
        step.content for step in hosts.apply_plan(hosts.probe(), DESIRED).steps if isinstance(step, WriteFile)
    ]
    assert written == BLOCK.replace(b"\n", b"\r\n")
    removal = hosts.revert_plan(HostsFacts(written, writable=True, left_over=True), {"missing": "yes"})
    assert [step.content for step in removal.steps if isinstance(step, WriteFile)] == [b""]


def test_a_no_to_windows_is_no_failure(machine: Machine) -> None:
    hosts = _windows(HostsFacts(b""), machine)
    no = Outcome(Run(("powershell.exe",)), StepFailure.FAILED, "The operation was canceled by the user.")
    assert hosts.read_failure(HostsFacts(), no).status is Status.SKIPPED


def test_windows_file_is_read_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    there = PureWindowsPath(str(path))  # with the separators of the system at hand it is the same text
    if Path(there) != path:
        there = path  # type: ignore[assignment]  # a path of this system, for reading it
    assert look_at(there) == HostsFacts(None)
    path.write_bytes(b"x")
    assert look_at(there) == HostsFacts(b"x", writable=True)
    path.unlink()
    path.mkdir()
    assert look_at(there).trouble


def test_the_usual_directory_is_below_the_root_of_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_directory() == PureWindowsPath(r"C:\Windows\System32\drivers\etc")
    monkeypatch.setenv("SystemRoot", r"C:\project")
    monkeypatch.setattr(hosts_windows, "_registered", lambda: r"%systemroot%\System32\drivers\else")
    assert find_directory() == PureWindowsPath(r"C:\Windows\System32\drivers\else")


def test_nothing_is_started_to_look(machine: Machine, path: Path) -> None:
    runner = WrittenRunner({"anything": NotFinished(StepFailure.FAILED, "")})
    HostsFile(UnixHosts(machine)).probe()
    assert runner.calls == []
