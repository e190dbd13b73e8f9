"""The soft limit of open files."""

from __future__ import annotations

import resource

import pytest

from devtls.system.machine.descriptors import ENOUGH, descriptor_limit, raise_descriptor_limit


class Kernel:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, soft: int, hard: int) -> None:
        self.limits = (soft, hard)
        self.refuses = False
        monkeypatch.setattr(resource, "getrlimit", lambda which: self.limits)
        monkeypatch.setattr(resource, "setrlimit", self.set)

    def set(self, which: int, limits: tuple[int, int]) -> None:
        if self.refuses:
            raise ValueError("current limit exceeds maximum limit")
        self.limits = limits


@pytest.mark.parametrize(
    ("soft", "hard", "then"),
    [
        (1024, resource.RLIM_INFINITY, ENOUGH),
        (1024, 1_000_000, ENOUGH),
        (64, 4096, 4096),
        (64, 64, 64),
        (100_000, 1_000_000, 100_000),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, resource.RLIM_INFINITY),
    ],
)
def test_the_soft_limit_is_raised_as_far_as_it_helps(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, then: int
) -> None:
    kernel = Kernel(monkeypatch, soft, hard)
    assert raise_descriptor_limit() == then
    assert kernel.limits == (then, hard)
    assert descriptor_limit() == (None if then == resource.RLIM_INFINITY else then)


def test_more_is_asked_for_where_more_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    Kernel(monkeypatch, 1024, 1_000_000)
    assert raise_descriptor_limit(50_000) == 50_000


def test_a_system_that_refuses_leaves_the_limit_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(monkeypatch, 256, resource.RLIM_INFINITY)
    kernel.refuses = True
    assert raise_descriptor_limit() == 256
