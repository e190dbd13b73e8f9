from __future__ import annotations

import dataclasses
import plistlib
from collections.abc import Callable
from pathlib import Path

import pytest

from devtls.system.changes.change import DesiredState, Status
from devtls.system.changes.service.discovery import find_changes
from devtls.system.changes.service.launchd_agent import LaunchAgent
from devtls.system.machine.execute import Finished, NotFinished, Outcome, StepFailure, execute
from devtls.system.machine.machine import Machine
from devtls.system.machine.plan import Plan, Run
from tests.system.changes.service.conftest import moved
from tests.system.changes.service.golden_plans import check_section

LABEL = "gui/501/devtls.serve"


class Launchd:
    """launchd as launchctl shows it: what is loaded, of which file."""

    def __init__(self) -> None:
        self.desktop = True
        self.loaded: dict[str, dict[str, object]] = {}
        self.crashed = False

    def run(self, run: Run) -> Finished | NotFinished:
        tool, *arguments = run.argv
        if tool == "/bin/rmdir":
            Path(arguments[0]).rmdir()
            return Finished(0)
        assert tool == "/bin/launchctl"
        match arguments:
            case ["print", "gui/501"]:
                return Finished(0 if self.desktop else 125, b"", b"Could not find domain for port")
            case ["print", target] if target in self.loaded:
                state = b"\tlast exit code = 5\n" if self.crashed else b"\tstate = running\n\tpid = 4711\n"
                return Finished(0, f"{target} = {{\n".encode() + state + b"\t\tpid = 9 not this\n}\n")
            case ["print", _]:
                return Finished(113, b"", b"Could not find service")
            case ["bootstrap", "gui/501", file]:
                values = plistlib.loads(Path(file).read_bytes())
                if LABEL in self.loaded:
                    return Finished(37, b"", b"Bootstrap failed: 37: Operation already in progress")
                self.loaded[f"gui/501/{values['Label']}"] = values
                return Finished(0)
            case ["bootout", target]:
                del self.loaded[target]
                return Finished(0)
        return NotFinished(StepFailure.FAILED, "unknown")


@pytest.fixture
def mac(machine: Machine) -> Machine:
    return dataclasses.replace(machine, platform="darwin")


@pytest.fixture
def launchd() -> Launchd:
    return Launchd()


@pytest.fixture
def change(mac: Machine, launchd: Launchd) -> LaunchAgent:
    return LaunchAgent(mac, launchd, uid=501)


@pytest.fixture
def do(launchd: Launchd) -> Callable[[Plan], Outcome]:
    return lambda plan: execute(plan, launchd)


Do = Callable[[Plan], Outcome]


def install(change: LaunchAgent, desired: DesiredState, do: Do) -> None:
    assert do(change.apply_plan(change.probe(), desired)).done


def test_the_plans_are_the_ones_of_the_manual(change: LaunchAgent, mac: Machine, desired: DesiredState, do: Do) -> None:
    named = LaunchAgent(mac, change._runner, uid=501, config=Path("/Users/me/my project/devtls.toml"))
    plans = {"install": named.apply_plan(named.probe(), desired)}
    install(named, desired, do)
    for name in ("serve.log", "serve.log.1"):
        (mac.home / "Library/Logs/devtls" / name).write_text("")
    plans["after an upgrade"] = change.apply_plan(change.probe(), dataclasses.replace(moved(desired), http_port=None))
    plans["uninstall"] = change.revert_plan(change.probe(), {})
    check_section("macOS", plans, {str(mac.home): "/Users/me"})


def test_it_comes_and_goes_without_a_trace(
    change: LaunchAgent, mac: Machine, launchd: Launchd, desired: DesiredState, do: Do
) -> None:
    assert change.state(change.probe(), desired).status is Status.ABSENT
    install(change, desired, do)
    assert change.state(change.probe(), desired).status is Status.APPLIED
    assert not change.apply_plan(change.probe(), desired)
    account = change.account(change.probe())
    assert (account.installed, account.enabled, account.running, account.pid) == (True, True, True, 4711)
    assert account.argv[:5] == ("/opt/my tools/python", "-P", "-m", "devtls", "serve")
    assert do(change.revert_plan(change.probe(), {})).done
    assert launchd.loaded == {}
    assert not [path for path in mac.home.rglob("*") if path.is_file() or path.name == "devtls"]
    assert not change.revert_plan(change.probe(), {})


def test_logs_of_others_stay_with_their_directory(
    change: LaunchAgent, mac: Machine, desired: DesiredState, do: Do
) -> None:
    install(change, desired, do)
    (mac.home / "Library/Logs/devtls/mine.txt").write_text("")
    assert do(change.revert_plan(change.probe(), {})).done
    assert (mac.home / "Library/Logs/devtls/mine.txt").exists()


def test_each_port_has_a_name_and_both_loopback_addresses(
    change: LaunchAgent, launchd: Launchd, desired: DesiredState, do: Do
) -> None:
    install(change, desired, do)
    sockets = launchd.loaded[LABEL]["Sockets"]
    assert isinstance(sockets, dict)
    assert {
        name: [(each["SockNodeName"], each["SockServiceName"]) for each in listeners]
        for name, listeners in sockets.items()
    } == {
        "https": [("127.0.0.1", "443"), ("::1", "443")],
        "http": [("127.0.0.1", "80"), ("::1", "80")],
        "pac": [("127.0.0.1", "15354"), ("::1", "15354")],
    }
    variables = launchd.loaded[LABEL]["EnvironmentVariables"]
    assert isinstance(variables, dict)
    assert set(variables) == {"DEVTLS_STATE_DIR", "PATH"}
    assert variables["DEVTLS_STATE_DIR"] == "/home/ann/50% state"
    shell = {**desired.environment, "PATH": "/another/shell"}
    assert not change.apply_plan(change.probe(), dataclasses.replace(desired, environment=shell))


def test_after_an_upgrade_it_is_loaded_anew_and_keeps_its_file(
    change: LaunchAgent, mac: Machine, launchd: Launchd, desired: DesiredState, do: Do
) -> None:
    install(LaunchAgent(mac, launchd, uid=501, config=Path("/p/devtls.toml")), desired, do)
    assert change.state(change.probe(), moved(desired)).status is Status.OUTDATED
    install(change, moved(desired), do)
    assert change.state(change.probe(), moved(desired)).status is Status.APPLIED
    assert change.account(change.probe()).config == "/p/devtls.toml"


def test_without_a_desktop_launchd_starts_no_agent(
    change: LaunchAgent, launchd: Launchd, desired: DesiredState
) -> None:
    launchd.desktop = False
    assert change.state(change.probe(), desired).status is Status.MANUAL
    assert not change.apply_plan(change.probe(), desired)
    assert "Log in there" in change.explain(change.probe(), desired)


def test_one_that_is_not_loaded_is_loaded_and_one_that_crashed_says_so(
    change: LaunchAgent, launchd: Launchd, desired: DesiredState, do: Do
) -> None:
    install(change, desired, do)
    launchd.crashed = True
    account = change.account(change.probe())
    assert (account.running, account.trouble) == (False, "it ended with exit code 5")
    launchd.loaded.clear()
    assert "not loaded" in change.state(change.probe(), desired).detail
    install(change, desired, do)
    assert LABEL in launchd.loaded


@pytest.mark.parametrize("content", [b"", b"<plist><dict/></plist>", b"junk"])
def test_a_file_of_somebody_else_is_left_alone(change: LaunchAgent, desired: DesiredState, content: bytes) -> None:
    path = change.probe().filed.path
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert change.state(change.probe(), desired).status is Status.MANUAL
    assert not change.apply_plan(change.probe(), desired)
    assert not change.revert_plan(change.probe(), {})


def test_a_damaged_file_of_ours_is_replaced(change: LaunchAgent, desired: DesiredState, do: Do) -> None:
    install(change, desired, do)
    path = change.probe().filed.path
    path.write_bytes(path.read_bytes()[:-40])
    assert change.account(change.probe()).argv == ()
    assert change.state(change.probe(), desired).status is Status.OUTDATED


@pytest.mark.parametrize(
    ("step", "trouble", "status"),
    [
        (Run(("/bin/launchctl", "bootstrap")), StepFailure.FAILED, Status.FAILED),
        (Run(("/bin/launchctl", "bootout")), StepFailure.FAILED, Status.FAILED),
        (Run(("/bin/launchctl", "bootout")), StepFailure.NO_TOOL, Status.NO_TOOL),
    ],
)
def test_failures_are_put_into_words(change: LaunchAgent, step: Run, trouble: StepFailure, status: Status) -> None:
    state = change.read_failure(change.probe(), Outcome(step, trouble, "why"))
    assert (state.status, "why" in state.detail, bool(state.remedy)) == (status, True, True)


def test_discovery_offers_it_on_macos(mac: Machine, launchd: Launchd) -> None:
    assert [each.name for each in find_changes(mac, launchd)] == ["service:launchd"]


@pytest.mark.parametrize("directory", ["/Users/a\udcff", "/Users/a\x1b[31m"])
def test_a_path_that_no_property_list_can_hold_is_refused(
    change: LaunchAgent, desired: DesiredState, directory: str
) -> None:
    odd = dataclasses.replace(desired, command=(f"{directory}/python", "-m", "devtls"))
    facts = change.probe()
    assert change.state(facts, odd).status is Status.MANUAL
    assert not change.apply_plan(facts, odd)
