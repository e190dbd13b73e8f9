"""A Reporter that keeps what it is told, for tests to look at."""

from __future__ import annotations

from dataclasses import dataclass, field

from devtls.errors import DevtlsError


@dataclass
class RecordingReporter:
    """Every call in its order, as pairs of a kind and a text; hints, elevations and errors beside them."""

    calls: list[tuple[str, str]] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)
    elevations: list[str] = field(default_factory=list)
    raised: list[DevtlsError] = field(default_factory=list)

    def info(self, message: str) -> None:
        self.calls.append(("info", message))

    def warning(self, message: str, hint: str = "") -> None:
        self.calls.append(("warning", message))
        self.hints.append(hint)

    def error(self, error: DevtlsError) -> None:
        self.calls.append(("error", str(error)))
        self.raised.append(error)

    def begin(self, label: str, elevation: str = "") -> None:
        self.calls.append(("begin", label))
        self.elevations.append(elevation)

    def of(self, kind: str) -> list[str]:
        """Return the texts of one kind: info, warning, error, begin."""
        return [text for each, text in self.calls if each == kind]
