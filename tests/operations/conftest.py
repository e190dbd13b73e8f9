from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from devtls.operations.context import Context
from devtls.system.machine.paths import Paths
from tests.operations.recording import RecordingReporter
from tests.system.changes.fake_changes import FakeChanges
from tests.system.machine.small_debian import SmallDebian, redirected


@pytest.fixture
def reporter() -> RecordingReporter:
    return RecordingReporter()


@pytest.fixture
def debian(home: Path, tmp_path: Path) -> SmallDebian:
    """A small Debian of the user of this test."""
    made = SmallDebian(redirected(tmp_path, home), Paths.from_environment().state_dir)
    made.install()
    return made


@pytest.fixture
def context(debian: SmallDebian, reporter: RecordingReporter) -> Context:
    """A context on that machine; the variables are those of the test."""
    return Context(debian.machine, Paths.from_environment(), datetime.now(UTC), reporter)


@pytest.fixture
def changes(debian: SmallDebian, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeChanges:
    """Changes of files in the place of this system's own."""
    made = FakeChanges(tmp_path / "system/changed")
    made.install(monkeypatch)
    return made
