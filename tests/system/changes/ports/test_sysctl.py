"""The sysctl that gives low ports to everybody: what is planned, what is left alone, what is brought back."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from devtls.system.changes.change import BLOCKED, Status, User, Wish
from devtls.system.changes.ports.sysctl import SysctlMeasure, lowest_wanted
from devtls.system.machine.execute import Outcome, ProcessRunner, Trouble, execute
from devtls.system.machine.machine import Machine
from devtls.system.machine.plan import ALREADY_ROOT, Elevation, Plan, render_plan
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
def measure(machine: Machine) -> SysctlMeasure:
    return SysctlMeasure(machine)


def status(measure: SysctlMeasure, wish: Wish) -> Status:
    return measure.state(measure.probe(), wish).status


def commands(plan: Plan, machine: Machine) -> list[str]:
    return [line.replace(str(machine.root), "") for line in render_plan(plan, SUDO)]


def do(plan: Plan) -> None:
    assert execute(plan, ProcessRunner(ALREADY_ROOT)).done


def install(measure: SysctlMeasure, wish: Wish) -> dict[str, str]:
    facts = measure.probe()
    do(measure.install_plan(facts, wish))
    return dict(measure.keepsake(facts))


def test_the_commands_are_the_ones_of_the_manual(machine: Machine, measure: SysctlMeasure, wish: Wish) -> None:
    facts = measure.probe()
    assert measure.state(facts, wish).status is Status.ABSENT
    assert measure.state(facts, wish).detail == "ports below 1024 are root's"
    assert commands(measure.install_plan(facts, wish), machine) == [
        "/usr/bin/sudo /usr/bin/install -m 0644 -- /dev/stdin /etc/sysctl.d/60-devtls.conf <<'DEVTLS'\n"
        "# Made by `devtls setup ports`. The value before was 1024; `devtls unsetup ports` brings it back.\n"
        "# Programs of every user may listen on ports from this one up.\n"
        "net.ipv4.ip_unprivileged_port_start = 80\n"
        "DEVTLS",
        "/usr/bin/sudo /usr/sbin/sysctl -p /etc/sysctl.d/60-devtls.conf",
    ]
    assert measure.keepsake(facts) == {"value": "1024"}


def test_it_comes_and_goes_without_a_trace(
    machine: Machine, measure: SysctlMeasure, kernel: Kernel, wish: Wish
) -> None:
    keepsake = install(measure, wish)
    assert (kernel.value, status(measure, wish)) == (80, Status.IN_FORCE)
    facts = measure.probe()
    assert not measure.install_plan(facts, wish)
    removal = measure.remove_plan(facts, keepsake)
    assert commands(removal, machine) == [
        "/usr/bin/sudo /bin/rm -f -- /etc/sysctl.d/60-devtls.conf",
        f"/usr/bin/sudo /usr/sbin/sysctl -w {KEY}=1024",
    ]
    do(removal)
    assert (kernel.value, status(measure, wish)) == (1024, Status.ABSENT)
    assert not list((machine.root / "etc/sysctl.d").iterdir())
    assert not measure.remove_plan(measure.probe(), keepsake)


def test_a_missing_folder_is_made(machine: Machine, measure: SysctlMeasure, kernel: Kernel, wish: Wish) -> None:
    (machine.root / "etc/sysctl.d").rmdir()
    install(measure, wish)
    assert (kernel.value, status(measure, wish)) == (80, Status.IN_FORCE)


@pytest.mark.parametrize(
    ("https", "http", "lowest"),
    [(443, 80, 80), (443, None, 443), (8443, 80, 80), (8443, 8080, None), (8443, None, None), (0, None, None)],
)
def test_the_border_is_at_the_lowest_port_that_is_wanted(
    wish: Wish, https: int, http: int | None, lowest: int | None
) -> None:
    assert lowest_wanted(replace(wish, https_port=https, http_port=http)) == lowest


def test_without_a_low_port_nothing_is_done(measure: SysctlMeasure, wish: Wish) -> None:
    high = replace(wish, https_port=8443, http_port=None)
    facts = measure.probe()
    assert measure.state(facts, high).status is Status.IN_FORCE
    assert not measure.install_plan(facts, high)
    assert measure.explain(facts, high) == ""


def test_root_needs_nothing(measure: SysctlMeasure, wish: Wish) -> None:
    facts = measure.probe()
    root = replace(wish, user=User("root", 0, 0, wish.user.home))
    assert measure.state(facts, root).status is Status.IN_FORCE
    assert not measure.install_plan(facts, root)


def test_a_lower_port_than_last_time_keeps_the_value_from_before_the_first(
    measure: SysctlMeasure, kernel: Kernel, wish: Wish
) -> None:
    assert install(measure, replace(wish, http_port=None)) == {"value": "1024"}
    assert (kernel.value, status(measure, wish)) == (443, Status.OUTDATED)
    assert install(measure, wish) == {"value": "1024"}
    assert (kernel.value, status(measure, wish)) == (80, Status.IN_FORCE)
    do(measure.remove_plan(measure.probe(), {}))  # the record is lost: the file knows it
    assert kernel.value == 1024


def test_a_value_that_somebody_changed_since_is_left(measure: SysctlMeasure, kernel: Kernel, wish: Wish) -> None:
    keepsake = install(measure, wish)
    kernel.value = 500
    assert status(measure, wish) is Status.OUTDATED
    do(measure.remove_plan(measure.probe(), keepsake))
    assert kernel.value == 500
    assert status(measure, wish) is Status.ABSENT


@pytest.mark.parametrize("value", ["", "-5", "70000000", "70000", "1024; reboot"])
def test_a_damaged_record_is_not_believed(measure: SysctlMeasure, kernel: Kernel, wish: Wish, value: str) -> None:
    install(measure, wish)
    do(measure.remove_plan(measure.probe(), {"value": value}))
    assert kernel.value == 1024


def test_a_record_opens_no_ports(measure: SysctlMeasure, kernel: Kernel, wish: Wish) -> None:
    install(measure, wish)
    do(measure.remove_plan(measure.probe(), {"value": "0"}))  # anything that runs as the user can write the record
    assert kernel.value == 1024


def test_a_record_that_is_older_than_the_file_knows_better(measure: SysctlMeasure, kernel: Kernel, wish: Wish) -> None:
    keepsake = install(measure, wish)
    facts = measure.probe()
    facts.path.unlink()  # by hand, and the kernel keeps its value
    install(measure, replace(wish, http_port=79))
    do(measure.remove_plan(measure.probe(), keepsake))
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
    measure: SysctlMeasure, kernel: Kernel, wish: Wish, name: str, line: str
) -> None:
    path, kernel.value = kernel.write(name, line), 79
    facts = measure.probe()
    state = measure.state(facts, wish)
    assert (state.status, state.detail) == (Status.IN_FORCE, f"{path} does it")
    assert not measure.install_plan(facts, wish)
    assert not measure.remove_plan(facts, {})


def test_a_value_that_no_file_keeps_gets_one_and_is_not_applied_again(
    machine: Machine, measure: SysctlMeasure, kernel: Kernel, wish: Wish
) -> None:
    kernel.value = 80
    facts = measure.probe()
    assert measure.state(facts, wish).detail == "it holds until the next boot only"
    assert len(measure.install_plan(facts, wish).steps) == 1
    keepsake = install(measure, wish)
    assert status(measure, wish) is Status.IN_FORCE
    do(measure.remove_plan(measure.probe(), keepsake))
    assert kernel.value == 80


def test_a_file_that_is_read_before_ours_does_not_matter(measure: SysctlMeasure, kernel: Kernel, wish: Wish) -> None:
    kernel.write("etc/sysctl.d/10-default.conf", f"{KEY} = 1024")
    kernel.value = 80
    assert status(measure, wish) is Status.ABSENT
    install(measure, wish)
    assert measure.state(measure.probe(), wish).detail == ""


@pytest.mark.parametrize("name", ["etc/sysctl.d/99-strict.conf", "etc/sysctl.conf"])
def test_a_file_that_undoes_it_at_boot_is_named(measure: SysctlMeasure, kernel: Kernel, wish: Wish, name: str) -> None:
    path = kernel.write(name, f"{KEY} = 1024")
    install(measure, wish)
    state = measure.state(measure.probe(), wish)
    assert state.status is Status.IN_FORCE
    assert state.detail == f"but {path} sets 1024 again at the next boot"
    assert str(path) in state.remedy


def test_a_file_in_etc_takes_the_place_of_the_vendors(measure: SysctlMeasure, kernel: Kernel, wish: Wish) -> None:
    kernel.write("usr/lib/sysctl.d/70-x.conf", f"{KEY} = 1024")
    kernel.write("etc/sysctl.d/70-x.conf", "")
    install(measure, wish)
    assert measure.state(measure.probe(), wish).remedy == ""


# -- what stands in the way -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", f"{KEY} = 80\n", "vm.swappiness = 1\n", f"{KEY} = 1024\n# mine\n"])
def test_a_file_of_somebody_else_is_left_alone(measure: SysctlMeasure, kernel: Kernel, wish: Wish, text: str) -> None:
    kernel.write(OWN, text)
    facts = measure.probe()
    state = measure.state(facts, wish)
    assert state.status is Status.MANUAL
    assert "60-devtls.conf is not devtls's own" in state.detail
    assert measure.explain(facts, wish) == state.remedy
    assert not measure.install_plan(facts, wish)
    assert not measure.remove_plan(facts, {"value": "1024"})


def test_our_file_with_a_line_of_somebody_else_is_theirs(measure: SysctlMeasure, kernel: Kernel, wish: Wish) -> None:
    keepsake = install(measure, wish)
    with (kernel.root / OWN).open("a") as file:
        file.write("vm.swappiness = 1\n")
    assert not measure.remove_plan(measure.probe(), keepsake)
    kernel.value = 1024
    assert status(measure, wish) is Status.MANUAL


def test_a_link_is_not_followed(measure: SysctlMeasure, kernel: Kernel, wish: Wish, tmp_path: Path) -> None:
    install(measure, wish)
    (kernel.root / OWN).rename(tmp_path / "elsewhere")
    (kernel.root / OWN).symlink_to(tmp_path / "elsewhere")
    kernel.value = 1024
    facts = measure.probe()
    assert measure.state(facts, wish).status is Status.MANUAL
    assert "a link is there" in measure.state(facts, wish).detail
    assert not measure.install_plan(facts, wish)
    assert not measure.remove_plan(facts, {"value": "1024"})


def test_what_cannot_be_read_is_not_ours(measure: SysctlMeasure, kernel: Kernel, wish: Wish) -> None:
    (kernel.root / OWN).mkdir()
    (kernel.root / "etc/sysctl.d/70-x.conf").mkdir()
    state = measure.state(measure.probe(), wish)
    assert state.status is Status.MANUAL
    assert "cannot be read" in state.detail


def read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    class Mounted:
        f_flag = os.ST_RDONLY

    monkeypatch.setattr(os, "statvfs", lambda _path: Mounted)


def test_a_container_is_told_what_its_runtime_can_do(
    measure: SysctlMeasure, kernel: Kernel, wish: Wish, monkeypatch: pytest.MonkeyPatch
) -> None:
    keepsake = install(measure, wish)
    kernel.value = 1024
    read_only(monkeypatch)
    facts = measure.probe()
    state = measure.state(facts, wish)
    assert state.status is Status.READ_ONLY
    assert f"--sysctl {KEY}=80" in state.remedy
    assert not measure.install_plan(facts, wish)
    kernel.value = 80
    assert len(measure.remove_plan(measure.probe(), keepsake).steps) == 1  # the file; the kernel cannot be told


@pytest.mark.parametrize("value", [0, 80])
def test_a_container_that_has_the_ports_needs_nothing(
    measure: SysctlMeasure, kernel: Kernel, wish: Wish, monkeypatch: pytest.MonkeyPatch, value: int
) -> None:
    kernel.value = value
    read_only(monkeypatch)
    assert status(measure, wish) is Status.IN_FORCE


def test_zero_is_what_container_runtimes_set(measure: SysctlMeasure, kernel: Kernel, wish: Wish) -> None:
    kernel.value = 0
    assert status(measure, wish) is Status.IN_FORCE


def test_nixos_is_told_what_to_declare(measure: SysctlMeasure, kernel: Kernel, wish: Wish) -> None:
    kernel.write("etc/NIXOS", "")
    facts = measure.probe()
    assert measure.state(facts, wish).status is Status.MANUAL
    assert f'boot.kernel.sysctl."{KEY}" = 80;' in measure.explain(facts, wish)
    assert not measure.install_plan(facts, wish)
    kernel.value = 80
    assert status(measure, wish) is Status.IN_FORCE


def test_without_sysctl_its_package_is_named(machine: Machine, measure: SysctlMeasure, wish: Wish) -> None:
    (machine.root / "usr/sbin/sysctl").unlink()
    state = measure.state(measure.probe(), wish)
    assert (state.status, state.remedy) == (Status.NO_TOOL, "Install procps, then devtls setup ports.")


@pytest.mark.parametrize("content", [None, "nonsense"])
def test_a_kernel_without_the_setting_is_named(
    measure: SysctlMeasure, kernel: Kernel, wish: Wish, content: str | None
) -> None:
    kernel.file.unlink() if content is None else kernel.file.write_text(content)
    facts = measure.probe()
    assert measure.state(facts, wish).status is Status.MANUAL
    assert not measure.install_plan(facts, wish)
    assert measure.keepsake(facts) == {}


@pytest.mark.parametrize(
    ("trouble", "expected"),
    [
        (Trouble.READ_ONLY, Status.READ_ONLY),
        (Trouble.NO_ELEVATION, Status.MANUAL),
        (Trouble.NO_TOOL, Status.NO_TOOL),
        (Trouble.FAILED, Status.FAILED),
        (Trouble.TIMED_OUT, Status.FAILED),
    ],
)
def test_a_failed_step_is_put_into_words(measure: SysctlMeasure, trouble: Trouble, expected: Status) -> None:
    state = measure.read_failure(measure.probe(), Outcome(None, trouble, "permission denied"))
    assert (state.status, state.detail) == (expected, "permission denied")
    assert state.status in BLOCKED
    assert state.remedy
