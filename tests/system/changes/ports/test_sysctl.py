"""The sysctl that gives low ports to everybody: what is planned, what is left alone, what is brought back."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from devtls.system.changes.change import BLOCKED, DesiredState, Status, User
from devtls.system.changes.ports.sysctl import SysctlChange, lowest_wanted
from devtls.system.machine.execute import Outcome, StepFailure, execute
from devtls.system.machine.machine import Machine
from devtls.system.machine.plan import Elevation, Plan, render_plan
from tests.system.as_root import AS_ROOT
from tests.system.changes.ports.conftest import put_tool

KEY = "net.ipv4.ip_unprivileged_port_start"
OWN = "etc/sysctl.d/60-devtls.conf"
SUDO = Elevation("sudo", ("/usr/bin/sudo",))


class Kernel:
    """A machine's kernel, as its /proc and its sysctl show it."""

    def __init__(self, machine: Machine) -> None:
        self.root = machine.root
        self.file = machine.root / "proc/sys/net/ipv4/ip_unprivileged_port_start"
        # Reads KEY = VALUE from a file (-p) or an argument (-w), as procps does.
        script = f'case $1 in -p) v=$(sed -n "s/^{KEY} = //p" "$2");; -w) v=${{2#*=}};; esac; echo "$v" > {self.file}'
        put_tool(machine.root, "sysctl", script)

    @property
    def value(self) -> int:
        return int(self.file.read_text())

    @value.setter
    def value(self, value: int) -> None:
        self.file.write_text(f"{value}\n")

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path


@pytest.fixture
def kernel(machine: Machine) -> Kernel:
    return Kernel(machine)


@pytest.fixture
def change(machine: Machine) -> SysctlChange:
    return SysctlChange(machine)


def status(change: SysctlChange, desired: DesiredState) -> Status:
    return change.state(change.probe(), desired).status


def commands(plan: Plan, machine: Machine) -> list[str]:
    return [line.replace(str(machine.root), "") for line in render_plan(plan, SUDO)]


def do(plan: Plan) -> None:
    assert execute(plan, AS_ROOT).done


def install(change: SysctlChange, desired: DesiredState) -> dict[str, str]:
    facts = change.probe()
    do(change.apply_plan(facts, desired))
    return dict(change.previous_state(facts, desired))


def test_the_commands_are_the_ones_of_the_manual(machine: Machine, change: SysctlChange, desired: DesiredState) -> None:
    facts = change.probe()
    assert change.state(facts, desired).status is Status.ABSENT
    assert change.state(facts, desired).detail == "ports below 1024 are root's"
    assert commands(change.apply_plan(facts, desired), machine) == [
        "/usr/bin/sudo /usr/bin/install -m 0644 -- /dev/stdin /etc/sysctl.d/60-devtls.conf <<'DEVTLS'\n"
        "# Made by `devtls setup ports`. The value before was 1024; `devtls unsetup ports` brings it back.\n"
        "# Programs of every user may listen on ports from this one up.\n"
        "net.ipv4.ip_unprivileged_port_start = 80\n"
        "DEVTLS",
        "/usr/bin/sudo /usr/sbin/sysctl -p /etc/sysctl.d/60-devtls.conf",
    ]
    assert change.previous_state(facts, desired) == {"value": "1024"}


def test_it_comes_and_goes_without_a_trace(
    machine: Machine, change: SysctlChange, kernel: Kernel, desired: DesiredState
) -> None:
    previous_state = install(change, desired)
    assert (kernel.value, status(change, desired)) == (80, Status.APPLIED)
    facts = change.probe()
    assert not change.apply_plan(facts, desired)
    removal = change.revert_plan(facts, previous_state)
    assert commands(removal, machine) == [
        "/usr/bin/sudo /bin/rm -f -- /etc/sysctl.d/60-devtls.conf",
        f"/usr/bin/sudo /usr/sbin/sysctl -w {KEY}=1024",
    ]
    do(removal)
    assert (kernel.value, status(change, desired)) == (1024, Status.ABSENT)
    assert not list((machine.root / "etc/sysctl.d").iterdir())
    assert not change.revert_plan(change.probe(), previous_state)


def test_a_missing_directory_is_made(
    machine: Machine, change: SysctlChange, kernel: Kernel, desired: DesiredState
) -> None:
    (machine.root / "etc/sysctl.d").rmdir()
    install(change, desired)
    assert (kernel.value, status(change, desired)) == (80, Status.APPLIED)


@pytest.mark.parametrize(
    ("https", "http", "lowest"),
    [(443, 80, 80), (443, None, 443), (8443, 80, 80), (8443, 8080, None), (8443, None, None), (0, None, None)],
)
def test_the_border_is_at_the_lowest_port_that_is_wanted(
    desired: DesiredState, https: int, http: int | None, lowest: int | None
) -> None:
    assert lowest_wanted(replace(desired, https_port=https, http_port=http)) == lowest


def test_without_a_low_port_nothing_is_done(change: SysctlChange, desired: DesiredState) -> None:
    high = replace(desired, https_port=8443, http_port=None)
    facts = change.probe()
    assert change.state(facts, high).status is Status.APPLIED
    assert not change.apply_plan(facts, high)
    assert change.explain(facts, high) == ""


def test_root_needs_nothing(change: SysctlChange, desired: DesiredState) -> None:
    facts = change.probe()
    root = replace(desired, user=User("root", 0, 0, desired.user.home))
    assert change.state(facts, root).status is Status.APPLIED
    assert not change.apply_plan(facts, root)


def test_a_lower_port_than_last_time_keeps_the_value_from_before_the_first(
    change: SysctlChange, kernel: Kernel, desired: DesiredState
) -> None:
    assert install(change, replace(desired, http_port=None)) == {"value": "1024"}
    assert (kernel.value, status(change, desired)) == (443, Status.OUTDATED)
    assert install(change, desired) == {"value": "1024"}
    assert (kernel.value, status(change, desired)) == (80, Status.APPLIED)
    do(change.revert_plan(change.probe(), {}))  # the record is lost: the file knows it
    assert kernel.value == 1024


def test_a_value_that_somebody_changed_since_is_left(
    change: SysctlChange, kernel: Kernel, desired: DesiredState
) -> None:
    previous_state = install(change, desired)
    kernel.value = 500
    assert status(change, desired) is Status.OUTDATED
    do(change.revert_plan(change.probe(), previous_state))
    assert kernel.value == 500
    assert status(change, desired) is Status.ABSENT


@pytest.mark.parametrize("value", ["", "-5", "70000000", "70000", "1024; reboot"])
def test_a_damaged_record_is_not_believed(
    change: SysctlChange, kernel: Kernel, desired: DesiredState, value: str
) -> None:
    install(change, desired)
    do(change.revert_plan(change.probe(), {"value": value}))
    assert kernel.value == 1024


def test_a_record_opens_no_ports(change: SysctlChange, kernel: Kernel, desired: DesiredState) -> None:
    install(change, desired)
    do(change.revert_plan(change.probe(), {"value": "0"}))  # anything that runs as the user can write the record
    assert kernel.value == 1024


def test_a_record_that_is_older_than_the_file_knows_better(
    change: SysctlChange, kernel: Kernel, desired: DesiredState
) -> None:
    previous_state = install(change, desired)
    facts = change.probe()
    facts.path.unlink()  # by hand, and the kernel keeps its value
    install(change, replace(desired, http_port=79))
    do(change.revert_plan(change.probe(), previous_state))
    assert kernel.value == 1024


# -- other files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("etc/sysctl.d/50-mine.conf", f"{KEY}=80"),
        ("usr/lib/sysctl.d/10-vendor.conf", f"# {KEY} = 1\n{KEY} = 0"),
        ("etc/sysctl.conf", "  net/ipv4/ip_unprivileged_port_start\t= 0"),
        ("run/sysctl.d/90-x.conf", f"-{KEY} = 79\n"),
    ],
)
def test_what_another_file_does_need_not_be_done(
    change: SysctlChange, kernel: Kernel, desired: DesiredState, name: str, line: str
) -> None:
    path, kernel.value = kernel.write(name, line), 79
    facts = change.probe()
    state = change.state(facts, desired)
    assert (state.status, state.detail) == (Status.APPLIED, f"{path} does it")
    assert not change.apply_plan(facts, desired)
    assert not change.revert_plan(facts, {})


def test_a_value_that_no_file_keeps_gets_one_and_is_not_applied_again(
    machine: Machine, change: SysctlChange, kernel: Kernel, desired: DesiredState
) -> None:
    kernel.value = 80
    facts = change.probe()
    assert change.state(facts, desired).detail == "it holds until the next boot only"
    assert len(change.apply_plan(facts, desired).steps) == 1
    previous_state = install(change, desired)
    assert status(change, desired) is Status.APPLIED
    do(change.revert_plan(change.probe(), previous_state))
    assert kernel.value == 80


def test_a_file_that_is_read_before_ours_does_not_matter(
    change: SysctlChange, kernel: Kernel, desired: DesiredState
) -> None:
    kernel.write("etc/sysctl.d/10-default.conf", f"{KEY} = 1024")
    kernel.value = 80
    assert status(change, desired) is Status.ABSENT
    install(change, desired)
    assert change.state(change.probe(), desired).detail == ""


@pytest.mark.parametrize("name", ["etc/sysctl.d/99-strict.conf", "etc/sysctl.conf"])
def test_a_file_that_undoes_it_at_boot_is_named(
    change: SysctlChange, kernel: Kernel, desired: DesiredState, name: str
) -> None:
    path = kernel.write(name, f"{KEY} = 1024")
    install(change, desired)
    state = change.state(change.probe(), desired)
    assert state.status is Status.APPLIED
    assert state.detail == f"but {path} sets 1024 again at the next boot"
    assert str(path) in state.remedy


def test_a_file_in_etc_takes_the_place_of_the_vendors(
    change: SysctlChange, kernel: Kernel, desired: DesiredState
) -> None:
    kernel.write("usr/lib/sysctl.d/70-x.conf", f"{KEY} = 1024")
    kernel.write("etc/sysctl.d/70-x.conf", "")
    install(change, desired)
    assert change.state(change.probe(), desired).remedy == ""


# -- what stands in the way -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", f"{KEY} = 80\n", "vm.swappiness = 1\n", f"{KEY} = 1024\n# mine\n"])
def test_a_file_of_somebody_else_is_left_alone(
    change: SysctlChange, kernel: Kernel, desired: DesiredState, text: str
) -> None:
    kernel.write(OWN, text)
    facts = change.probe()
    state = change.state(facts, desired)
    assert state.status is Status.MANUAL
    assert "60-devtls.conf is not devtls's own" in state.detail
    assert change.explain(facts, desired) == state.remedy
    assert not change.apply_plan(facts, desired)
    assert not change.revert_plan(facts, {"value": "1024"})


def test_our_file_with_a_line_of_somebody_else_is_theirs(
    change: SysctlChange, kernel: Kernel, desired: DesiredState
) -> None:
    previous_state = install(change, desired)
    with (kernel.root / OWN).open("a") as file:
        file.write("vm.swappiness = 1\n")
    assert not change.revert_plan(change.probe(), previous_state)
    kernel.value = 1024
    assert status(change, desired) is Status.MANUAL


def test_a_link_is_not_followed(change: SysctlChange, kernel: Kernel, desired: DesiredState, tmp_path: Path) -> None:
    install(change, desired)
    (kernel.root / OWN).rename(tmp_path / "elsewhere")
    (kernel.root / OWN).symlink_to(tmp_path / "elsewhere")
    kernel.value = 1024
    facts = change.probe()
    assert change.state(facts, desired).status is Status.MANUAL
    assert "a link is there" in change.state(facts, desired).detail
    assert not change.apply_plan(facts, desired)
    assert not change.revert_plan(facts, {"value": "1024"})


def test_what_cannot_be_read_is_not_ours(change: SysctlChange, kernel: Kernel, desired: DesiredState) -> None:
    (kernel.root / OWN).mkdir()
    (kernel.root / "etc/sysctl.d/70-x.conf").mkdir()
    state = change.state(change.probe(), desired)
    assert state.status is Status.MANUAL
    assert "cannot be read" in state.detail


def read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    class Mounted:
        f_flag = os.ST_RDONLY

    monkeypatch.setattr(os, "statvfs", lambda _path: Mounted)


def test_a_container_is_told_what_its_runtime_can_do(
    change: SysctlChange, kernel: Kernel, desired: DesiredState, monkeypatch: pytest.MonkeyPatch
) -> None:
    previous_state = install(change, desired)
    kernel.value = 1024
    read_only(monkeypatch)
    facts = change.probe()
    state = change.state(facts, desired)
    assert state.status is Status.READ_ONLY
    assert f"--sysctl {KEY}=80" in state.remedy
    assert not change.apply_plan(facts, desired)
    kernel.value = 80
    assert len(change.revert_plan(change.probe(), previous_state).steps) == 1  # the file; the kernel cannot be told


@pytest.mark.parametrize("value", [0, 80])
def test_a_container_that_has_the_ports_needs_nothing(
    change: SysctlChange, kernel: Kernel, desired: DesiredState, monkeypatch: pytest.MonkeyPatch, value: int
) -> None:
    kernel.value = value
    read_only(monkeypatch)
    assert status(change, desired) is Status.APPLIED


def test_zero_is_what_container_runtimes_set(change: SysctlChange, kernel: Kernel, desired: DesiredState) -> None:
    kernel.value = 0
    assert status(change, desired) is Status.APPLIED


def test_nixos_is_told_what_to_declare(change: SysctlChange, kernel: Kernel, desired: DesiredState) -> None:
    kernel.write("etc/NIXOS", "")
    facts = change.probe()
    assert change.state(facts, desired).status is Status.MANUAL
    assert f'boot.kernel.sysctl."{KEY}" = 80;' in change.explain(facts, desired)
    assert not change.apply_plan(facts, desired)
    kernel.value = 80
    assert status(change, desired) is Status.APPLIED


def test_without_sysctl_its_package_is_named(machine: Machine, change: SysctlChange, desired: DesiredState) -> None:
    (machine.root / "usr/sbin/sysctl").unlink()
    state = change.state(change.probe(), desired)
    assert (state.status, state.remedy) == (Status.NO_TOOL, "Install procps, then devtls setup ports.")


@pytest.mark.parametrize("content", [None, "nonsense"])
def test_a_kernel_without_the_setting_is_named(
    change: SysctlChange, kernel: Kernel, desired: DesiredState, content: str | None
) -> None:
    kernel.file.unlink() if content is None else kernel.file.write_text(content)
    facts = change.probe()
    assert change.state(facts, desired).status is Status.MANUAL
    assert not change.apply_plan(facts, desired)
    assert change.previous_state(facts, desired) == {}


@pytest.mark.parametrize(
    ("trouble", "expected"),
    [
        (StepFailure.READ_ONLY, Status.READ_ONLY),
        (StepFailure.NO_ELEVATION, Status.MANUAL),
        (StepFailure.NO_TOOL, Status.NO_TOOL),
        (StepFailure.FAILED, Status.FAILED),
        (StepFailure.TIMED_OUT, Status.FAILED),
    ],
)
def test_a_failed_step_is_put_into_words(change: SysctlChange, trouble: StepFailure, expected: Status) -> None:
    state = change.read_failure(change.probe(), Outcome(None, trouble, "permission denied"))
    assert (state.status, state.detail) == (expected, "permission denied")
    assert state.status in BLOCKED
    assert state.remedy
