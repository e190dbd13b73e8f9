"""The requests of the ACME server, without a proxy around it: how many proofs are looked for at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from devtls.acme.messages import AcmeRequest, AcmeResponse, Validate
from devtls.daemon.console.log import Log
from devtls.daemon.sites import acme_app
from devtls.daemon.sites.acme_app import AcmeRequests
from devtls.net.acme_challenge import Challenges


class Context:
    """Wants a proof for every request; `settled` are the outcomes."""

    pending: frozenset[tuple[str, bytes]] = frozenset()

    def __init__(self) -> None:
        self.settled: list[Any] = []

    def answer(self, request: AcmeRequest) -> tuple[AcmeResponse, Any]:
        return AcmeResponse(200), _Work()

    def validated(self, work: Validate, problem: object) -> None:
        self.settled.append(problem)


class _Work:
    name, kind = "app.test", "http-01"


async def test_so_many_proofs_are_looked_for_at_once_and_the_others_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    looking, most, go_on = 0, 0, asyncio.Event()

    async def proof(self: AcmeRequests, work: Validate) -> None:
        nonlocal looking, most
        looking += 1
        most = max(most, looking)
        await go_on.wait()
        looking -= 1

    monkeypatch.setattr(AcmeRequests, "_proof", proof)
    context: Any = Context()
    nothing: Any = None
    challenges = Challenges(nothing)
    requests = AcmeRequests(context, nothing, Log(print, monotonic=lambda: 0.0), challenges, nothing)
    for _ in range(40):
        await requests.answer(AcmeRequest("POST", "/", "acme.test", "", b""))
    async with asyncio.timeout(5):
        while looking < acme_app._MOST_AT_ONCE:
            await asyncio.sleep(0)
    await asyncio.sleep(0.02)
    assert (most, context.settled) == (16, [])
    go_on.set()
    async with asyncio.timeout(5):
        while len(context.settled) < 40:
            await asyncio.sleep(0.005)
    assert most == 16
    await requests.close(nothing)
