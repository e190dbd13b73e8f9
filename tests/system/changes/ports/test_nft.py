"""The redirect by nft: its files and commands, on a machine with systemd and on one without."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from devtls.system.changes.change import BLOCKED, DesiredState, Status, User
from devtls.system.changes.ports.nft import NftRedirect, rules_for
from devtls.system.machine.execute import Finished, Outcome, StepFailure, execute
from devtls.system.machine.machine import Machine
from devtls.system.machine.plan import Elevation, Run, render_plan
from tests.system.changes.ports.conftest import put_tool

SUDO = Elevation("sudo", ("/usr/bin/sudo",))
EMPTY = b"table inet devtls\ndelete table inet devtls\n"


class Kernel:
    """A machine's redirects, as nft and systemctl change them and knocking finds them."""

    def __init__(self, machine: Machine) -> None:
        self.root, self.leading = machine.root, frozenset[int]()
        self.files: dict[str, bytes] = {}
        self.rules_file = machine.root / "etc/devtls-redirect.nft"
        self.unit_file = machine.root / "etc/systemd/system/devtls-redirect.service"

    def redirected(self, ports: Iterable[int], target: int) -> frozenset[int]:
        assert target == 8443
        return frozenset(ports) & self.leading

    def run(self, run: Run) -> Finished:
        match Path(run.argv[0]).name, run.argv[1:]:
            case "nft", ("-f", "-"):
                self._load(run.stdin or b"")
            case "systemctl", ("restart", "devtls-redirect.service"):
                assert self.unit_file.is_file()
                self._load(self.rules_file.read_bytes())
            case "systemctl", ("disable", "--now", "devtls-redirect.service"):
                self._load(EMPTY)
            case "install", _:
                Path(run.argv[-1]).write_bytes(run.stdin or b"")
            case "mv", _:
                Path(run.argv[-2]).replace(run.argv[-1])
            case "rm", _:
                Path(run.argv[-1]).unlink()
        return Finished(0)

    def _load(self, rules: bytes) -> None:
        assert EMPTY in rules
        self.leading = frozenset(port for port in (443, 80) if str(port).encode() in rules.partition(b"dport")[2])


@pytest.fixture
def kernel(machine: Machine) -> Kernel:
    put_tool(machine.root, "nft")
    return Kernel(machine)


@pytest.fixture
def change(machine: Machine, kernel: Kernel) -> NftRedirect:
    return NftRedirect(machine, redirected=kernel.redirected)


@pytest.fixture
def systemd(machine: Machine) -> None:
    (machine.root / "run/systemd/system").mkdir(parents=True)
    put_tool(machine.root, "systemctl")


def install(change: NftRedirect, kernel: Kernel, desired: DesiredState) -> None:
    assert execute(change.apply_plan(change.probe(), desired), kernel).done


def remove(change: NftRedirect, kernel: Kernel) -> None:
    assert execute(change.revert_plan(change.probe(), {}), kernel).done


@pytest.mark.usefixtures("systemd")
def test_the_plan_is_two_files_and_a_unit(machine: Machine, change: NftRedirect, desired: DesiredState) -> None:
    lines = render_plan(change.apply_plan(change.probe(), desired), SUDO)
    assert [line.replace(str(machine.root), "") for line in lines] == [
        "/usr/bin/sudo /usr/bin/install -m 0644 -- /dev/stdin /etc/devtls-redirect.nft <<'DEVTLS'\n"
        "# Made by `devtls setup ports`; `devtls unsetup ports` takes it back.\n"
        "table inet devtls\n"
        "delete table inet devtls\n"
        "table inet devtls {\n"
        "  chain out {\n"
        "    type nat hook output priority -100; policy accept;\n"
        '    oifname "lo" ip daddr 127.0.0.1 tcp dport { 80, 443 } redirect to :8443\n'
        '    oifname "lo" ip6 daddr ::1 tcp dport { 80, 443 } redirect to :8443\n'
        "  }\n"
        "}\n"
        "DEVTLS",
        "/usr/bin/sudo /usr/bin/install -m 0644 -- /dev/stdin /etc/systemd/system/devtls-redirect.service <<'DEVTLS'\n"
        "# Made by `devtls setup ports`; `devtls unsetup ports` takes it back.\n"
        "[Unit]\n"
        "Description=Ports 443 and 80 of this machine lead to devtls\n"
        "Documentation=man:nft(8)\n"
        "After=nftables.service\n"
        "PartOf=nftables.service\n"
        "\n"
        "[Service]\n"
        "Type=oneshot\n"
        "RemainAfterExit=yes\n"
        "ExecStart=/usr/sbin/nft -f /etc/devtls-redirect.nft\n"
        "ExecStop=-/usr/sbin/nft delete table inet devtls\n"
        "\n"
        "[Install]\n"
        "WantedBy=multi-user.target\n"
        "DEVTLS",
        "/usr/bin/sudo /usr/sbin/systemctl daemon-reload",
        "/usr/bin/sudo /usr/sbin/systemctl enable devtls-redirect.service",
        "/usr/bin/sudo /usr/sbin/systemctl restart devtls-redirect.service",
    ]


@pytest.mark.usefixtures("systemd")
def test_it_comes_and_goes_without_a_trace(
    machine: Machine, change: NftRedirect, kernel: Kernel, desired: DesiredState
) -> None:
    state = change.state(change.probe(), desired)
    assert (state.status, state.detail) == (Status.ABSENT, "ports 443 and 80 of this machine lead nowhere yet")
    install(change, kernel, desired)
    assert change.state(change.probe(), desired).status is Status.APPLIED
    assert not change.apply_plan(change.probe(), desired)
    lines = render_plan(change.revert_plan(change.probe(), change.previous_state(change.probe(), desired)), SUDO)
    assert [line.replace(str(machine.root), "") for line in lines] == [
        "/usr/bin/sudo /usr/sbin/systemctl disable --now devtls-redirect.service",
        "/usr/bin/sudo /bin/rm -f -- /etc/systemd/system/devtls-redirect.service",
        "/usr/bin/sudo /bin/rm -f -- /etc/devtls-redirect.nft",
        "/usr/bin/sudo /usr/sbin/systemctl daemon-reload",
    ]
    remove(change, kernel)
    assert (kernel.leading, kernel.rules_file.exists(), kernel.unit_file.exists()) == (frozenset(), False, False)
    assert not change.revert_plan(change.probe(), {})


def test_without_systemd_it_lasts_until_the_next_boot_and_says_so(
    change: NftRedirect, kernel: Kernel, desired: DesiredState
) -> None:
    plan = change.apply_plan(change.probe(), desired)
    assert len(plan.steps) == 1
    install(change, kernel, desired)
    state = change.state(change.probe(), desired)
    assert state.status is Status.APPLIED
    assert "until the next boot" in state.detail
    remove(change, kernel)
    assert kernel.leading == frozenset()
    assert not change.revert_plan(change.probe(), {})


@pytest.mark.usefixtures("systemd")
def test_what_was_lost_or_is_wished_otherwise_is_done_again(
    change: NftRedirect, kernel: Kernel, desired: DesiredState
) -> None:
    alone = replace(desired, http_port=None)
    install(change, kernel, alone)
    assert kernel.leading == {443}
    assert kernel.rules_file.read_bytes() == rules_for(frozenset({443}))
    assert change.state(change.probe(), desired).status is Status.OUTDATED
    install(change, kernel, desired)
    assert change.state(change.probe(), desired).status is Status.APPLIED
    state = change.state(change.probe(), alone)
    assert (state.status, state.detail) == (Status.OUTDATED, "its file names other ports")
    kernel.leading = frozenset()  # somebody emptied all tables
    assert change.state(change.probe(), desired).status is Status.OUTDATED
    install(change, kernel, desired)
    assert kernel.leading == {443, 80}


@pytest.mark.usefixtures("systemd")
def test_rules_without_a_unit_are_kept_by_one(change: NftRedirect, kernel: Kernel, desired: DesiredState) -> None:
    kernel.leading = frozenset({443, 80})
    assert change.state(change.probe(), desired).detail == "it holds until the next boot only"
    install(change, kernel, desired)
    assert change.state(change.probe(), desired).status is Status.APPLIED


@pytest.mark.parametrize("name", ["rules_file", "unit_file"])
@pytest.mark.parametrize("kind", ["text", "folder", "link"])
def test_files_of_somebody_else_are_left_alone(
    change: NftRedirect, kernel: Kernel, desired: DesiredState, name: str, kind: str
) -> None:
    path: Path = getattr(kernel, name)
    if kind == "text":
        path.write_text("flush ruleset\n")
    elif kind == "folder":
        path.mkdir()
    else:
        (kernel.root / "elsewhere").write_bytes(rules_for(frozenset({443})))
        path.symlink_to(kernel.root / "elsewhere")
    kernel.leading = frozenset({443, 80})
    facts = change.probe()
    assert change.state(facts, desired).status is Status.MANUAL
    assert path.name in change.state(facts, desired).detail
    assert change.explain(facts, desired).startswith("Move it away")
    assert not change.apply_plan(facts, desired)
    assert not change.revert_plan(facts, {})


def test_another_https_port_is_not_redirected(change: NftRedirect, desired: DesiredState) -> None:
    state = change.state(change.probe(), replace(desired, https_port=444))
    assert state.status is Status.MANUAL
    assert not change.apply_plan(change.probe(), replace(desired, https_port=444))


def test_who_may_have_443_needs_no_redirect(machine: Machine, change: NftRedirect, desired: DesiredState) -> None:
    root = replace(desired, user=User("root", 0, 0, desired.user.home))
    assert change.state(change.probe(), root).status is Status.SKIPPED
    (machine.root / "proc/sys/net/ipv4/ip_unprivileged_port_start").write_text("80\n")
    assert change.state(change.probe(), desired).status is Status.SKIPPED
    assert not change.apply_plan(change.probe(), desired)


def test_without_nft_its_package_is_named(machine: Machine, change: NftRedirect, desired: DesiredState) -> None:
    (machine.root / "usr/sbin/nft").unlink()
    state = change.state(change.probe(), desired)
    assert (state.status, "Install nftables" in state.remedy) == (Status.NO_TOOL, True)


@pytest.mark.parametrize(
    ("trouble", "expected"),
    [
        (StepFailure.READ_ONLY, Status.READ_ONLY),
        (StepFailure.NO_ELEVATION, Status.MANUAL),
        (StepFailure.NO_TOOL, Status.NO_TOOL),
        (StepFailure.FAILED, Status.FAILED),
    ],
)
def test_a_failed_step_is_put_into_words(change: NftRedirect, trouble: StepFailure, expected: Status) -> None:
    state = change.read_failure(change.probe(), Outcome(None, trouble, "Operation not supported"))
    assert (state.status, state.detail) == (expected, "Operation not supported")
    assert state.status in BLOCKED
