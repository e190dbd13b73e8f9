"""Permissions without a terminal: asked for, given for one content, revoked."""

from __future__ import annotations

from pathlib import Path

import pytest

from devtls.errors import ConfigError
from devtls.operations.context import Context
from devtls.operations.permissions import allow, file_for_permission, permission_request, revoke
from tests.operations.recording import RecordingReporter


@pytest.fixture
def project(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = home / "project"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return directory


def test_a_permission_holds_for_one_content(project: Path) -> None:
    file, context = project / "devtls.toml", Context.here(RecordingReporter())
    file.write_text('[routes]\napi = { target = "10.0.0.1:80", allow_remote = true }\n')
    request = permission_request(context, file_for_permission(context, None))
    assert (request.path, request.allowed, [reason.key for reason in request.reasons]) == (file, False, ["api"])
    allow(context, request)
    assert permission_request(context, file).allowed
    file.write_text(file.read_text() + "# more\n")
    assert not permission_request(context, file).allowed
    assert revoke(context, file)
    assert not revoke(context, file)


def test_a_file_without_reasons_needs_none(project: Path) -> None:
    (project / "devtls.toml").write_text("[routes]\napp = 3000\n")
    assert permission_request(Context.here(RecordingReporter()), project / "devtls.toml").allowed


def test_the_file_is_the_named_one_or_the_one_here(project: Path) -> None:
    context = Context.here(RecordingReporter())
    assert file_for_permission(context, project) == project / "devtls.toml"
    assert file_for_permission(context, project / "x.toml") == project / "x.toml"
    assert file_for_permission(context, None, must_exist=False) == project / "devtls.toml"
    with pytest.raises(ConfigError, match=r"no devtls\.toml here"):
        file_for_permission(context, None)
