from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from devtls.system.changes.change import DesiredState, Status, User
from devtls.system.changes.service.socket_unit import SocketUnit
from devtls.system.changes.service.systemd_unit import UserUnit
from devtls.system.machine.execute import Outcome, StepFailure
from devtls.system.machine.machine import Machine
from devtls.system.machine.plan import MakeDirectory, Plan, Run
from tests.system.changes.service.conftest import NO_BUS, Systemd, moved

Do = Callable[[Plan], Outcome]


@pytest.fixture
def change(machine: Machine, systemd: Systemd) -> SocketUnit:
    return SocketUnit(machine, systemd)


@pytest.fixture
def desired(desired: DesiredState, tmp_path: Path) -> DesiredState:
    return dataclasses.replace(desired, environment={"DEVTLS_STATE_DIR": str(tmp_path / "50% state")})


def status_of(change: SocketUnit, desired: DesiredState) -> Status:
    return change.state(change.probe(), desired).status


def install(change: SocketUnit, desired: DesiredState, do: Do) -> None:
    assert do(change.apply_plan(change.probe(), desired)).done


def text_of(machine: Machine, unit: str) -> list[str]:
    return (machine.root / "etc/systemd/system" / unit).read_text().splitlines()


def test_the_ports_come_and_go_without_a_trace(
    change: SocketUnit, machine: Machine, systemd: Systemd, desired: DesiredState, do: Do
) -> None:
    state = Path(desired.environment["DEVTLS_STATE_DIR"])
    assert status_of(change, desired) is Status.ABSENT
    install(change, desired, do)
    assert status_of(change, desired) is Status.APPLIED
    # That of the PAC file is started with the service: a serve that runs may have its port.
    assert systemd.active == {"devtls.socket", "devtls-http.socket"}
    assert systemd.enabled == systemd.active | {"devtls-pac.socket"}
    https, http, pac, service = (
        text_of(machine, unit)
        for unit in ("devtls.socket", "devtls-http.socket", "devtls-pac.socket", "devtls.service")
    )
    assert [line for line in https if line.startswith("Listen")] == [
        "ListenStream=127.0.0.1:443",
        "ListenStream=[::1]:443",
    ]
    assert [line for line in http if line.startswith("Listen")] == [
        "ListenStream=127.0.0.1:80",
        "ListenStream=[::1]:80",
    ]
    assert [line for line in pac if line.startswith("Listen")] == [
        "ListenStream=127.0.0.1:15354",
        "ListenStream=[::1]:15354",
    ]
    assert {"FileDescriptorName=pac", "Service=devtls.service", "WantedBy=sockets.target"} <= set(pac)
    assert {"Wants=devtls-pac.socket", "After=devtls-pac.socket"} <= set(service)
    assert "Sockets=devtls.socket devtls-http.socket devtls-pac.socket" in service
    assert "FileDescriptorName=https" in https
    assert "FileDescriptorName=http" in http
    assert "User=ann" in service
    assert "CapabilityBoundingSet=" in service
    assert f'ReadWritePaths="{state.parent}/50%% state" -/run/user/1000' in service
    assert state.is_dir()
    facts = change.probe()
    assert do(change.revert_plan(facts, change.previous_state(facts, desired))).done
    assert (systemd.enabled, systemd.active, systemd.loaded) == (set(), set(), {})
    assert list((machine.root / "etc/systemd/system").iterdir()) == []
    assert not change.revert_plan(change.probe(), {})


def test_only_tools_of_the_system_are_elevated(change: SocketUnit, machine: Machine, desired: DesiredState) -> None:
    plan = change.apply_plan(change.probe(), desired)
    assert [step.elevate for step in plan.steps] == [not isinstance(step, MakeDirectory) for step in plan.steps]
    programs = {step.argv[0] for step in plan.steps if isinstance(step, Run)}
    assert programs == {str(machine.root / "usr/bin/systemctl")}


def test_what_changed_is_written_again_and_what_is_not_wanted_any_more_goes(
    change: SocketUnit, machine: Machine, systemd: Systemd, desired: DesiredState, do: Do
) -> None:
    install(change, desired, do)
    without = dataclasses.replace(moved(desired), http_port=None, pac_port=None)
    assert status_of(change, without) is Status.OUTDATED
    install(change, without, do)
    assert status_of(change, without) is Status.APPLIED
    assert {path.name for path in (machine.root / "etc/systemd/system").iterdir()} == {
        "devtls.socket",
        "devtls.service",
    }
    assert systemd.active == {"devtls.socket"}
    assert "Sockets=devtls.socket" in text_of(machine, "devtls.service")


def test_without_ipv6_one_address_is_enough(
    change: SocketUnit, machine: Machine, desired: DesiredState, do: Do
) -> None:
    (machine.root / "proc/net/if_inet6").write_text("")
    install(change, desired, do)
    assert [line for line in text_of(machine, "devtls.socket") if "Listen" in line] == ["ListenStream=127.0.0.1:443"]
    (machine.root / "proc/net/if_inet6").unlink()
    assert status_of(change, desired) is Status.APPLIED


def test_sockets_that_were_stopped_are_opened_again(
    change: SocketUnit, systemd: Systemd, desired: DesiredState, do: Do
) -> None:
    install(change, desired, do)
    systemd.active.clear()
    state = change.state(change.probe(), desired)
    assert (state.status, "does not hold the ports" in state.detail) == (Status.OUTDATED, True)
    install(change, desired, do)
    assert status_of(change, desired) is Status.APPLIED


def test_units_of_somebody_else_are_left_alone(change: SocketUnit, machine: Machine, desired: DesiredState) -> None:
    file = machine.root / "etc/systemd/system/devtls.service"
    file.write_text("[Service]\n")
    facts = change.probe()
    assert change.state(facts, desired).status is Status.MANUAL
    assert not change.apply_plan(facts, desired)
    assert not change.revert_plan(facts, {})
    assert change.account(facts).argv == ()


def test_root_needs_no_such_thing(change: SocketUnit, machine: Machine, desired: DesiredState) -> None:
    root = dataclasses.replace(desired, user=User("root", 0, 0, machine.home))
    assert status_of(change, root) is Status.SKIPPED
    assert not change.apply_plan(change.probe(), root)


def test_the_users_own_service_comes_first(
    change: SocketUnit, machine: Machine, systemd: Systemd, desired: DesiredState, do: Do
) -> None:
    own = UserUnit(machine, systemd)
    do(own.apply_plan(own.probe(), desired))
    state = change.state(change.probe(), desired)
    assert (state.status, "devtls service uninstall" in change.explain(change.probe(), desired)) == (
        Status.MANUAL,
        True,
    )


def test_where_systemd_does_not_run_the_machine_it_is_no_way(
    change: SocketUnit, machine: Machine, systemd: Systemd, desired: DesiredState, do: Do
) -> None:
    install(change, desired, do)
    (machine.root / "run/systemd/system").rmdir()
    assert status_of(change, desired) is Status.NO_TOOL
    assert do(change.revert_plan(change.probe(), {})).done
    assert list((machine.root / "etc/systemd/system").iterdir()) == []
    (machine.root / "run/systemd/system").mkdir()
    systemd.silent = NO_BUS
    assert change.state(change.probe(), desired).detail == "Failed to connect to bus: No medium found"


@pytest.mark.parametrize(
    ("step", "trouble", "status"),
    [
        (Run(("systemctl", "enable", "--now", "x")), StepFailure.FAILED, Status.FAILED),
        (Run(("install",)), StepFailure.READ_ONLY, Status.READ_ONLY),
        (Run(("install",)), StepFailure.NO_ELEVATION, Status.NO_TOOL),
        (Run(("install",)), StepFailure.FAILED, Status.FAILED),
    ],
)
def test_failures_are_put_into_words(change: SocketUnit, step: Run, trouble: StepFailure, status: Status) -> None:
    state = change.read_failure(change.probe(), Outcome(step, trouble, "why"))
    assert (state.status, state.detail) == (status, "why")
    assert state.remedy
