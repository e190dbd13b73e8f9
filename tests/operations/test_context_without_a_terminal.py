"""Operations run in a process that cannot import click, print nothing, and tell a recording Reporter their progress."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from devtls.names import DEFAULT_ZONES, Hostname
from devtls.operations.certificates import CertificateOptions, KeyAndFiles, issue_certificate
from devtls.operations.context import Context
from devtls.operations.revocation import apply_revocation, plan_revocation
from devtls.operations.rollover import (
    apply_retirement,
    apply_rollover,
    plan_retirement,
    prepare_renewal,
    preview_renewal,
)
from devtls.operations.route_file import RouteOptions
from devtls.operations.route_lists import lists
from devtls.operations.routes import add as add_route
from devtls.operations.routes import remove
from devtls.operations.setup import SetupRequest, plan_setup
from devtls.operations.trust import TrustRequest, apply_trust, plan_trust
from devtls.pki.register import serial_text
from devtls.system.changes.change import Status
from devtls.system.machine.paths import Paths
from devtls.system.storage.config_discovery import Found
from tests.operations.recording import RecordingReporter
from tests.system.machine.small_debian import SmallDebian, redirected

PROGRAM = """\
import importlib, sys
sys.modules["click"] = None
importlib.import_module("tests.operations.test_context_without_a_terminal").run(*sys.argv[1:])
"""


def trust(context: Context, reporter: RecordingReporter) -> None:
    plan = plan_trust(context, TrustRequest())
    assert (plan.authority, plan.has_work) == (None, True)
    assert not context.keystore.exists()
    result = apply_trust(context, plan)
    result.raise_for_failure()
    assert [store.state.status for store in result.stores] == [Status.APPLIED, Status.APPLIED]
    assert [report.client for report in result.reports] == ["curl"]
    assert reporter.of("begin") == [store.label for store in result.stores]


def setup_dry_run(context: Context, reporter: RecordingReporter) -> None:
    plan = plan_setup(context, SetupRequest(names=("api",)))
    assert plan.trust is not None
    assert (plan.trust.authority, plan.has_work) == (None, True)
    assert plan.desired.hostnames == ("api.dev.local", "api.localhost", "api.test")
    assert not context.paths.state_dir.exists()
    assert reporter.calls == []


def renew(context: Context, reporter: RecordingReporter) -> None:
    apply_trust(context, plan_trust(context, TrustRequest()))
    before = context.keystore.load(context.now)
    preview = preview_renewal(context, (Hostname("shop.internal"),))
    assert preview.zones == (*before.zones, "shop.internal")
    reporter.calls.clear()
    plan = prepare_renewal(context, (Hostname("shop.internal"),))
    assert reporter.of("info")[0].startswith(f"Made devtls root {plan.following.id} for ")
    assert context.keystore.load(context.now).id == before.id
    result = apply_rollover(context, plan)
    result.raise_for_failure()
    assert (result.switched, result.told) == (True, ())
    assert [store.state.status for store in result.results] == [Status.APPLIED, Status.APPLIED]
    assert reporter.of("begin") == [store.label for store in result.results]
    assert context.keystore.load(context.now).id == plan.following.id
    retired = apply_retirement(context, plan_retirement(context))
    retired.raise_for_failure()
    assert retired.retired == (before.id,)


def revoke(context: Context, reporter: RecordingReporter) -> None:
    context.keystore.create(DEFAULT_ZONES, context.now)
    issued = issue_certificate(context, ["a.test"], CertificateOptions(), KeyAndFiles(context.paths.state_dir))
    assert sorted(issued.files) == ["certificate", "key"]
    plan = plan_revocation(context, "a.test", "superseded")
    assert [target.serial for target in plan.targets] == [serial_text(issued.certificate.serial_number)]
    result = apply_revocation(context, plan)
    assert result.changed == {target.serial for target in plan.targets}
    assert result.renewed_names == ()
    assert [crl.number for crl in result.crls] == [2]
    assert reporter.calls == []


def add(context: Context, reporter: RecordingReporter) -> None:
    found = Found(context.paths.config_dir / "devtls.toml", explicit=False)
    added = add_route(context, found, "app", "3000", RouteOptions())
    assert (added.file, added.created, added.replaced, added.running) == (found.path, True, None, ())
    again = add_route(context, found, "app", "4000", RouteOptions())
    assert (again.created, again.replaced) == (False, "app")
    (listed,) = lists(context, found.path)
    assert [route.hosts for route in listed.routes] == [("app.dev.local", "app.localhost", "app.test")]
    assert remove(context, found, "app").name == "app"
    assert reporter.calls == []


OPERATIONS: dict[str, Callable[[Context, RecordingReporter], None]] = {
    "trust": trust,
    "setup": setup_dry_run,
    "renew": renew,
    "revoke": revoke,
    "add": add,
}


def run(name: str, directory: str) -> None:
    """Run an operation on a machine below `directory`, and print what became of click as JSON."""
    machine = redirected(Path(directory), Path.home())
    paths, reporter = Paths.from_environment(), RecordingReporter()
    SmallDebian(machine, paths.state_dir).install()
    OPERATIONS[name](Context(machine, paths, datetime.now(UTC), reporter), reporter)
    try:
        importlib.import_module("click")
    except ImportError:
        sys.stdout.write(json.dumps({"operation": name, "click": None}))


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_needs_no_terminal(name: str, home: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, name, str(tmp_path)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "HOME": str(home)},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"operation": name, "click": None}
