"""Changes of files, in the place of this system's own: the changes that `devtls setup` finds in a test."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from devtls.system.changes import discovery
from devtls.system.changes.change import SETUP_PARTS, Part
from tests.system.changes.file_change import FileChange

_FINDERS = {Part.NAMES: "find_names", Part.PORTS: "find_ports", Part.SERVICE: "find_service"}


@dataclass
class FakeChanges:
    """One usual change for each part, and `ports:other`, which is there when it is asked for."""

    directory: Path
    found: dict[str, FileChange] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True)
        for part in SETUP_PARTS:
            self.put(FileChange(self.directory / part.value, part.value, part, elevate=part is not Part.SERVICE))
        self.put(FileChange(self.directory / "other", "other", Part.PORTS))

    def put(self, change: FileChange) -> None:
        self.found[change.name] = change

    def change(self, name: str, **values: Any) -> None:
        self.put(replace(self.found[name], **values))

    def files(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in sorted(self.directory.iterdir())}

    def find(self, part: Part, methods: Collection[str], recorded: Collection[str]) -> tuple[FileChange, ...]:
        own = [change for change in self.found.values() if change.part is part]
        return tuple(each for each in own if each.method != "other" or each.method in methods or each.name in recorded)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for part, finder in _FINDERS.items():

            def find(
                machine: object, runner: object, *, methods: Any = (), recorded: Any = (), part: Part = part
            ) -> Any:
                return self.find(part, methods, recorded)

            monkeypatch.setattr(discovery, finder, find)
        monkeypatch.setattr(discovery, "METHODS", (*(part.value for part in SETUP_PARTS), "other"))
