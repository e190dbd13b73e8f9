"""The offer of a second serve when the first one has the port."""

from __future__ import annotations

from pathlib import Path

import pytest

from devtls.errors import ExitCode, PortInUse
from devtls.operations import port_conflict
from devtls.operations.context import Context
from devtls.operations.control import RunningProxy
from devtls.operations.port_conflict import explain_port_in_use
from devtls.system.control.unix_socket import ControlSocket
from devtls.system.storage.config_discovery import Found, named_config
from devtls.web.control_messages import About
from tests.operations.recording import RecordingReporter

TAKEN = PortInUse("Port 443 is taken.", port=443, holder="python3 (process 7)", hint="--https-port 0")


def explain(error: PortInUse, routes: list[str], found: Found | None) -> PortInUse:
    return explain_port_in_use(Context.here(RecordingReporter()), error, routes, found)


@pytest.fixture(autouse=True)
def first(monkeypatch: pytest.MonkeyPatch) -> RunningProxy:
    about = About(version="1", pid=7, https_port=443, config_file="/project/devtls.toml")
    one = RunningProxy(ControlSocket(Path("/x"), 7), about)
    monkeypatch.setattr(port_conflict, "find_running", lambda *_: [one])
    monkeypatch.setattr(port_conflict, "find_stop_command", lambda *_: "")
    return one


def test_the_typed_routes_can_join_the_first_one() -> None:
    error = explain(TAKEN, ["app=3000", "*.app=./a site"], None)
    assert str(error) == "Port 443 is taken: your other devtls serve (process 7) has it."
    assert error.hint.splitlines() == [
        "devtls serve app=3000 '*.app=./a site'   joins that one, without --alone and without another address",
        "       --https-port 0   takes any free port for a process of its own",
    ]
    assert error.exit_code is ExitCode.PORT_IN_USE


def test_the_same_file_needs_no_second_one() -> None:
    error = explain(TAKEN, [], named_config(Path("/project/devtls.toml")))
    assert "it reads this file already" in error.hint
    error = explain(TAKEN, [], named_config(Path("/other/devtls.toml")))
    assert error.hint.splitlines()[-1] == "       --https-port 0   takes any free port for a process of its own"


def test_a_service_is_called_one_and_can_be_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port_conflict, "find_stop_command", lambda _, pid: {7: "systemctl --user stop devtls"}[pid])
    error = explain(TAKEN, ["app=3000"], None)
    assert str(error) == "Port 443 is taken: your devtls service (process 7) has it."
    assert error.hint.splitlines()[-1] == "       systemctl --user stop devtls   stops the service"
    assert "devtls serve app=3000   joins that one" in error.hint


@pytest.mark.parametrize("holder", ["nginx (process 8)", "", "a program of alice"])
def test_strangers_are_named_as_before(holder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port_conflict, "_is_devtls", lambda _: False)
    error = PortInUse("Port 443 is taken.", port=443, holder=holder, hint="x")
    assert explain(error, ["app=1"], None) is error


def test_a_devtls_of_another_user_is_called_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port_conflict, "_is_devtls", lambda port: port == 443)
    error = explain(PortInUse("x", port=443, holder="a program of alice"), ["app=1"], None)
    assert str(error) == "Port 443 is taken: a devtls serve of alice has it."
    assert "only alice can give that one routes" in error.hint


def test_a_devtls_of_another_state_directory_is_called_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port_conflict, "_is_devtls", lambda port: port == 443)
    error = explain(PortInUse("x", port=443, holder="devtls (process 8)"), ["app=1"], None)
    assert "a devtls serve with another state directory has it (devtls (process 8))" in str(error)
    assert "DEVTLS_STATE_DIR" in error.hint


def test_a_demo_is_offered_no_routes(monkeypatch: pytest.MonkeyPatch) -> None:
    about = About(version="1", pid=7, https_port=443, config_file=None, demo=True)
    monkeypatch.setattr(port_conflict, "find_running", lambda *_: [RunningProxy(ControlSocket(Path("/x"), 7), about)])
    error = explain(TAKEN, ["app=3000"], None)
    assert str(error) == "Port 443 is taken: your other devtls demo (process 7) has it."
    assert error.hint.splitlines() == [
        "devtls stop --pid 7   ends the demo",
        "       --https-port 0   takes any free port beside it",
    ]
