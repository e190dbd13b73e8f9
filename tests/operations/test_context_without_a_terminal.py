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

from devtls.operations.context import Context
from devtls.operations.setup import SetupRequest, plan_setup
from devtls.operations.trust import TrustRequest, apply_trust, plan_trust
from devtls.system.changes.change import Status
from devtls.system.machine.paths import Paths
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


OPERATIONS: dict[str, Callable[[Context, RecordingReporter], None]] = {"trust": trust, "setup": setup_dry_run}


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
