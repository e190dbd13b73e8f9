"""Changes to the machine as text."""

from __future__ import annotations

import pytest

from devtls.cli.terminal.change_view import state_text
from devtls.system.changes.change import ChangeState, Part, Status


@pytest.mark.parametrize(
    ("part", "state", "text"),
    [
        (Part.TRUST, ChangeState(Status.APPLIED), "trusted"),
        (Part.PORTS, ChangeState(Status.APPLIED), "applied"),
        (Part.TRUST, ChangeState(Status.ABSENT, "it was removed"), "not trusted: it was removed"),
        (
            Part.TRUST,
            ChangeState(Status.ABSENT, "it follows the system store"),
            "nothing to do: it follows the system store",
        ),
    ],
)
def test_a_store_that_follows_another_one_is_no_failure(part: Part, state: ChangeState, text: str) -> None:
    assert state_text(part, state, "not trusted") == text
