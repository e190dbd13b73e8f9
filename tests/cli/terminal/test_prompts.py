from __future__ import annotations

import click
import pytest

from devtls.cli.ca.import_ import command as import_command
from devtls.cli.terminal import prompts
from devtls.cli.terminal.prompts import ask, refuse_without_terminal
from devtls.errors import Refused


@pytest.mark.parametrize("has_dry_run", [True, False])
def test_the_hint_names_only_options_that_the_command_has(
    monkeypatch: pytest.MonkeyPatch, *, has_dry_run: bool
) -> None:
    monkeypatch.setattr(prompts, "is_terminal", lambda: False)
    with pytest.raises(Refused) as caught:
        refuse_without_terminal("x", has_dry_run=has_dry_run)
    assert ("--dry-run" in caught.value.hint) is has_dry_run
    assert "devtls x --yes" in caught.value.hint


def test_an_import_has_no_dry_run_to_name() -> None:
    assert "--dry-run" not in {option for each in import_command.params for option in each.opts}


def test_an_interrupt_at_a_question_says_that_nothing_was_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> bool:
        raise click.Abort

    monkeypatch.setattr("click.confirm", interrupt)
    with pytest.raises(KeyboardInterrupt, match="nothing was changed on this machine"):
        ask("Go ahead?", "on this machine")
