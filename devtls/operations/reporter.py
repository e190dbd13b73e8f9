"""The Reporter protocol: progress, warnings and errors of an operation; a terminal, a page or a test hears them."""

from __future__ import annotations

from typing import Protocol

from devtls.errors import DevtlsError


class Reporter(Protocol):
    """Hears of an operation's progress while it goes on; results are returned, not reported."""

    def info(self, message: str) -> None:
        """Take a sentence about what is done or was done."""

    def warning(self, message: str, hint: str = "") -> None:
        """Take a sentence about something that did not go well and does not end the operation, and what to do."""

    def error(self, error: DevtlsError) -> None:
        """Take an error that ended one part of the operation while the others go on."""

    def begin(self, label: str, elevation: str = "") -> None:
        """Take the label of a change that begins; `elevation` names the tool that may ask for a password."""


class SilentReporter:
    """Drops every report: where a message would land in the middle of something else."""

    def info(self, message: str) -> None:
        """Drop it."""

    def warning(self, message: str, hint: str = "") -> None:
        """Drop it."""

    def error(self, error: DevtlsError) -> None:
        """Drop it."""

    def begin(self, label: str, elevation: str = "") -> None:
        """Drop it."""
