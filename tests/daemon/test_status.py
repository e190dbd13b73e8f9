"""What the banner shows, as values."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from devtls.daemon.status import _advice, error_info, stamp
from devtls.errors import ConfigError, ExitCode
from devtls.web.control_messages import Advice, ErrorInfo


def test_a_command_stands_apart_from_its_sentence() -> None:
    assert _advice(("No browser trusts it yet:", "", "    devtls trust")) == Advice(
        "No browser trusts it yet.", "devtls trust"
    )
    assert _advice(("Names below app", "need lines.")) == Advice("Names below app need lines.")


def test_errors_keep_their_place_hint_and_exit_code() -> None:
    error = ConfigError("-1 is no port.", source="devtls.toml", key="routes.app", line=2, hint="Ports go from 1.")
    assert error_info(error, "now") == ErrorInfo(
        "devtls.toml:2: routes.app: -1 is no port.", "Ports go from 1.", "now", ExitCode.CONFIG
    )


def test_moments_are_told_in_utc() -> None:
    here = datetime(2026, 1, 2, 3, 4, 5, 678, timezone(timedelta(hours=2)))
    assert stamp(here) == "2026-01-02T01:04:05+00:00"
    assert datetime.fromisoformat(stamp(here)).tzinfo == UTC
