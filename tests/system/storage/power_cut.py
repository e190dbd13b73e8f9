"""A machine that loses power at a chosen system call.

Owns the counting of the calls that change a disk, and the stop at one of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

CALLS = ["open", "write", "fsync", "fchmod", "chmod", "mkdir", "replace", "rename", "unlink", "rmdir", "truncate"]


class PowerCut(BaseException):
    """Not an Exception: nothing in the code may handle it, as nothing handles a kill."""


class Machine:
    """Counts system calls and stops at one of them: from then on no call has an effect, but the kernel closes files."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, stop_at: int | None = None) -> None:
        self.count = 0
        self.trace: list[tuple[str, str]] = []
        self._names: dict[int, str] = {}
        for name in CALLS:
            monkeypatch.setattr(os, name, self._watched(name, getattr(os, name)))
        self._stop_at = stop_at

    def _watched(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(target: Any, *args: Any, **options: Any) -> Any:
            self.count += 1
            if self._stop_at is not None and self.count >= self._stop_at:
                if name == "write" and self.count == self._stop_at:
                    call(target, bytes(args[0])[: len(args[0]) // 2])
                raise PowerCut(name)
            result = call(target, *args, **options)
            if name == "open":
                self._names[result] = os.fspath(target)
            where = self._names.get(target, "?") if isinstance(target, int) else os.fspath(target)
            self.trace.append((name, where))
            return result

        return watched


def calls_of(act: Callable[[], object]) -> int:
    with pytest.MonkeyPatch.context() as patch:
        machine = Machine(patch)
        act()
    return machine.count


def crash(stop_at: int, act: Callable[[], object]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        Machine(patch, stop_at=stop_at)
        with pytest.raises(PowerCut):
            act()
