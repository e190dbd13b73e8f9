"""A Reporter that keeps everything that an operation reported."""

from __future__ import annotations

from dataclasses import dataclass, field

from devtls.errors import DevtlsError


@dataclass
class RecordingReporter:
    infos: list[str] = field(default_factory=list)
    warnings: list[tuple[str, str]] = field(default_factory=list)
    errors: list[DevtlsError] = field(default_factory=list)
    begun: list[tuple[str, str]] = field(default_factory=list)

    def info(self, message: str) -> None:
        self.infos.append(message)

    def warning(self, message: str, hint: str = "") -> None:
        self.warnings.append((message, hint))

    def error(self, error: DevtlsError) -> None:
        self.errors.append(error)

    def begin(self, label: str, elevation: str = "") -> None:
        self.begun.append((label, elevation))
