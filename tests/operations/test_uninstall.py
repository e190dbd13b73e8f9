"""Uninstall without a command line: everything goes, and the result says what is left."""

from __future__ import annotations

import pytest

from devtls.errors import DevtlsError, SetupFailed
from devtls.operations import uninstall
from devtls.operations.context import Context
from devtls.operations.setup import SetupRequest, apply_setup, plan_setup
from devtls.operations.uninstall import apply_uninstall, plan_uninstall, program_removal
from tests.system.changes.fake_changes import FakeChanges
from tests.system.changes.file_change import program
from tests.system.machine.small_debian import SmallDebian


def test_nothing_is_left(context: Context, changes: FakeChanges, debian: SmallDebian) -> None:
    before = debian.bundle.read_bytes()
    apply_setup(context, plan_setup(context, SetupRequest()))
    plan = plan_uninstall(context)
    assert (plan.has_work, plan.removes_state, plan.running, len(plan.plans)) == (True, True, (), 4)
    result = apply_uninstall(context, plan)
    result.raise_for_failure()
    assert (result.kept, result.trust.forgotten, changes.files()) == ((), True, {})
    assert debian.bundle.read_bytes() == before
    assert not debian.state.exists()
    assert not plan_uninstall(context).has_work


def test_a_change_that_stays_is_raised_and_recorded(context: Context, changes: FakeChanges) -> None:
    apply_setup(context, plan_setup(context, SetupRequest()))
    changes.change("ports:ports", stuck=(program("false"),))
    result = apply_uninstall(context, plan_uninstall(context))
    assert [name.partition(" ")[0] for name in result.kept] == ["changes.json"]
    with pytest.raises(SetupFailed, match="Lines in ports"):
        result.raise_for_failure()


def test_a_proxy_that_does_not_end_is_raised_last(
    context: Context, changes: FakeChanges, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = DevtlsError("it has not ended yet.", hint="kill 77")

    def refuse(proxy: object, *, with_joined: bool) -> None:
        assert with_joined  # or one of them would take the listeners over
        raise error

    monkeypatch.setattr(uninstall, "find_running", lambda *_: [object()])
    monkeypatch.setattr(uninstall, "end", refuse)
    result = apply_uninstall(context, plan_uninstall(context))
    assert result.errors == (error,)
    with pytest.raises(DevtlsError) as caught:
        result.raise_for_failure()
    assert caught.value is error


def test_the_program_is_removed_as_it_was_installed() -> None:
    assert program_removal("/home/me/.local/share/uv/tools/devtls") == "uv tool uninstall devtls"
    assert program_removal("/home/me/.local/share/pipx/venvs/devtls") == "pipx uninstall devtls"
    assert program_removal("/venv", "/venv/bin/python") == "/venv/bin/python -m pip uninstall devtls"
