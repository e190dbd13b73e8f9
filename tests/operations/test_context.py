"""A context looks things up once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from devtls.names import DEFAULT_ZONES, Hostname
from devtls.operations.context import Context
from devtls.system.machine.machine import Machine
from devtls.system.machine.paths import Paths
from devtls.system.machine.plan import Elevation
from tests.operations.recording import RecordingReporter

SUDO = Elevation("sudo", ("/usr/bin/sudo",))


def make(tmp_path: Path, elevation: Elevation | None) -> tuple[Context, RecordingReporter]:
    reporter = RecordingReporter()
    machine = Machine.redirected(tmp_path, tmp_path, {}, elevation=elevation)
    return Context(machine, Paths(tmp_path, tmp_path, tmp_path), datetime.now(UTC), reporter), reporter


def test_the_runner_and_the_ca_are_looked_up_once(tmp_path: Path) -> None:
    context, _ = make(tmp_path, SUDO)
    assert context.runner is context.runner
    assert context.keystore is context.keystore
    assert context.executor is context.executor
    assert (context.executor.runner, context.executor.record) == (context.runner, context.record)
    assert replace(context, now=context.now).keystore is not context.keystore


def test_the_zones_are_those_of_the_ca_else_of_one_that_would_be_made(tmp_path: Path) -> None:
    state = tmp_path / "state"
    reporter = RecordingReporter()
    context = Context(
        Machine.redirected(tmp_path, tmp_path, {}), Paths(state, state, state), datetime.now(UTC), reporter
    )
    assert context.zones == DEFAULT_ZONES
    context.keystore.create((Hostname("corp.dev"),), context.now)
    assert replace(context, now=context.now).zones == ("corp.dev",)
