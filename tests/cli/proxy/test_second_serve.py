"""What is offered when the port is taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from devtls.cli.proxy import second_serve
from devtls.cli.proxy.second_serve import explain
from devtls.errors import ExitCode, PortInUse
from devtls.operations.control import RunningProxy
from devtls.system.control.unix_socket import ControlSocket
from devtls.system.machine.paths import Paths
from devtls.system.storage.config_discovery import named_config
from devtls.web.control_messages import About

TAKEN = PortInUse("Port 443 is taken.", port=443, holder="python3 (process 7)", hint="--https-port 0")


@pytest.fixture(autouse=True)
def first(monkeypatch: pytest.MonkeyPatch) -> RunningProxy:
    about = About(version="1", pid=7, https_port=443, config_file="/project/devtls.toml")
    one = RunningProxy(ControlSocket(Path("/x"), 7), about)
    monkeypatch.setattr(second_serve, "find_running", lambda *_: [one])
    monkeypatch.setattr(second_serve, "find_stop_command", lambda _: "")
    return one


def test_the_typed_routes_can_be_lent() -> None:
    error = explain(TAKEN, Paths.from_environment(), ["app=3000", "*.app=./a site"], None)
    assert str(error) == "Port 443 is taken: your other devtls serve (process 7) has it."
    assert error.hint.splitlines() == [
        "devtls add app 3000 --temporary",
        "       devtls add '*.app' './a site' --temporary   gives that one your routes",
        "       --https-port 0   takes any free port for a second one",
    ]
    assert error.exit_code is ExitCode.PORT_IN_USE


def test_the_same_file_needs_no_second_one() -> None:
    error = explain(TAKEN, Paths.from_environment(), [], named_config(Path("/project/devtls.toml")))
    assert "it reads this file already" in error.hint
    error = explain(TAKEN, Paths.from_environment(), [], named_config(Path("/other/devtls.toml")))
    assert error.hint == "--https-port 0   takes any free port for a second one"


def test_a_service_is_called_one_and_can_be_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(second_serve, "find_stop_command", {7: "systemctl --user stop devtls"}.__getitem__)
    error = explain(TAKEN, Paths.from_environment(), ["app=3000"], None)
    assert str(error) == "Port 443 is taken: your devtls service (process 7) has it."
    assert error.hint.splitlines()[-1] == "       systemctl --user stop devtls   stops the service"
    assert "devtls add app 3000 --temporary" in error.hint


@pytest.mark.parametrize("holder", ["nginx (process 8)", "", "a program of alice"])
def test_strangers_are_named_as_before(holder: str) -> None:
    error = PortInUse("Port 443 is taken.", port=443, holder=holder, hint="x")
    assert explain(error, Paths.from_environment(), ["app=1"], None) is error
