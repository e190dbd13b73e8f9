"""The service without a command line, against a systemd that the test plays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from devtls.errors import ConfigError, Refused, SetupFailed
from devtls.operations import context as module
from devtls.operations import service as operation
from devtls.operations.context import Context
from devtls.operations.control import RunningProxy
from devtls.operations.service import (
    apply_service,
    conflicting_proxies,
    installed_services,
    plan_service,
    service_log,
)
from devtls.operations.unsetup import apply_unsetup, plan_unsetup
from devtls.system.changes.change import Part
from devtls.system.changes.engine import Executor
from devtls.system.changes.service.account import ServiceLogCommand
from devtls.system.control.unix_socket import ControlSocket
from devtls.system.machine.execute import ProcessRunner
from devtls.web.control_messages import About
from tests.operations.recording import RecordingReporter
from tests.system.changes.service.conftest import NO_BUS, Systemd
from tests.system.machine.small_debian import SmallDebian


@pytest.fixture(autouse=True)
def systemd(debian: SmallDebian, context: Context, monkeypatch: pytest.MonkeyPatch) -> Systemd:
    """A user's manager, in the place of every program that is started."""
    debian.tool("usr/bin/systemctl", "exit 1")
    played = Systemd(debian.machine.config_home / "systemd/user")
    monkeypatch.setattr(ProcessRunner, "run", lambda self, run: played.run(run))
    monkeypatch.setattr(module, "Executor", partial(Executor, patience_s=0.0))
    return played


@pytest.fixture
def own_file(context: Context) -> Iterator[Path]:
    file = context.paths.config_dir / "devtls.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("[routes]\napp = 3000\n")
    yield file


def test_a_plan_changes_nothing_and_applying_it_starts_the_service(
    context: Context, systemd: Systemd, own_file: Path, reporter: RecordingReporter
) -> None:
    plan = plan_service(context)
    assert (plan.has_work, plan.account.installed, systemd.enabled) == (True, False, set())
    result = apply_service(context, plan)
    result.raise_for_failure()
    assert (result.change.changed, result.pid) == (True, 77)
    assert reporter.of("begin") == [result.change.label]
    again = plan_service(context)
    assert (again.has_work, apply_service(context, again).change.changed) == (False, False)
    (installed,) = installed_services(context)
    assert (installed.account.running, installed.account.pid, installed.serve) == (True, 77, None)
    assert isinstance(service_log(context), ServiceLogCommand)
    apply_unsetup(context, plan_unsetup(context, (Part.SERVICE,))).raise_for_failure()
    assert (installed_services(context), service_log(context)) == ((), None)


def test_a_file_that_was_named_is_kept(context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text("[routes]\napp = 3000\n")
    apply_service(context, plan_service(context, Path("mine.toml")))
    assert plan_service(context).account.config == str(tmp_path / "mine.toml")


def test_without_routes_there_is_no_plan(context: Context, own_file: Path) -> None:
    own_file.write_text("[routes]\n")
    with pytest.raises(ConfigError, match="it has no routes"):
        plan_service(context)
    own_file.unlink()
    with pytest.raises(Refused, match="The service would have no routes"):
        plan_service(context)


def test_an_obstacle_is_an_error_of_the_plan(context: Context, systemd: Systemd, own_file: Path) -> None:
    systemd.silent = NO_BUS
    with pytest.raises(SetupFailed, match="no systemd manager of yours runs here"):
        plan_service(context)


def test_a_start_that_fails_is_an_error_of_the_result(context: Context, systemd: Systemd, own_file: Path) -> None:
    systemd.refuses_start = "Job for devtls.service failed."
    result = apply_service(context, plan_service(context))
    with pytest.raises(SetupFailed, match="The service was not installed: it did not start: Job for devtls"):
        result.raise_for_failure()


def test_other_proxies_conflict_with_it(context: Context, own_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    about = About(version="1", pid=42, https_port=443, config_file=None)
    proxy = RunningProxy(ControlSocket(Path("/x"), 42), about)
    monkeypatch.setattr(operation, "find_running", lambda *_: [proxy])
    plan = plan_service(context)
    assert conflicting_proxies(context, plan) == (proxy,)
    assert conflicting_proxies(context, replace(plan, account=replace(plan.account, pid=42))) == ()
