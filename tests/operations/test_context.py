"""A context looks things up once and says which change begins."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path, PurePath

import pytest

from devtls.names import DEFAULT_ZONES, Hostname
from devtls.operations.context import Context
from devtls.system.machine.machine import Machine
from devtls.system.machine.paths import Paths
from devtls.system.machine.plan import ALREADY_ROOT, Elevation, Plan, RemoveFile
from tests.operations.recording import RecordingReporter

SUDO = Elevation("sudo", ("/usr/bin/sudo",))
MINE, ROOTS = Plan((RemoveFile(PurePath("/a")),)), Plan((RemoveFile(PurePath("/a"), elevate=True),))


def make(tmp_path: Path, elevation: Elevation | None) -> tuple[Context, RecordingReporter]:
    reporter = RecordingReporter()
    machine = Machine.redirected(tmp_path, tmp_path, {}, elevation=elevation)
    return Context(machine, Paths(tmp_path, tmp_path, tmp_path), datetime.now(UTC), reporter), reporter


@pytest.mark.parametrize(
    ("plan", "elevation", "told"),
    [
        (Plan(), SUDO, []),
        (MINE, SUDO, [""]),
        (MINE, None, [""]),
        (ROOTS, SUDO, ["sudo"]),
        (ROOTS, ALREADY_ROOT, [""]),
        (ROOTS, None, []),
    ],
)
def test_a_change_begins_that_can_be_made(
    tmp_path: Path, plan: Plan, elevation: Elevation | None, told: list[str]
) -> None:
    context, reporter = make(tmp_path, elevation)
    context.begin("A file", plan)
    assert (reporter.of("begin"), reporter.elevations) == (["A file"] * len(told), told)


def test_the_runner_and_the_ca_are_looked_up_once(tmp_path: Path) -> None:
    context, _ = make(tmp_path, SUDO)
    assert context.runner is context.runner
    assert context.keystore is context.keystore
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
