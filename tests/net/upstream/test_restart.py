"""Requests that wait for an app to listen again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from devtls.http.actions import DialFailed
from devtls.http.h1.response_head import RESPONSE_LIMITS
from devtls.net.upstream.h1 import H1UpstreamConnection
from devtls.net.upstream.handle import UpstreamHandle
from devtls.net.upstream.pool import Pool, PoolLimits
from devtls.net.upstream.restart import MAX_WAITING, RestartQueue
from devtls.routing import Upstream
from tests.locks import free_port
from tests.net.harness import answering, app, client_context, until

UPSTREAM = Upstream((("127.0.0.1", 1),), "", 1, "", None, "the app")
FAILED = DialFailed((("127.0.0.1:1", "connection refused"),), refused=True, restarting=True)


class Connection:
    """A connection that nobody uses."""


class ScriptedPool:
    """Gives what each dial comes to, then connections."""

    def __init__(self, *outcomes: DialFailed) -> None:
        self.outcomes = list(outcomes)
        self.dials = 0
        self.listens = asyncio.Event()

    async def dial(self, upstream: Upstream) -> UpstreamHandle | DialFailed:
        assert upstream is UPSTREAM
        self.dials += 1
        await asyncio.sleep(0)
        if self.outcomes:
            return self.outcomes.pop(0)
        return Connection() if self.listens.is_set() else FAILED  # type: ignore[return-value]


def waiting(queue: RestartQueue, wait_s: float = 5.0, route: str = "app") -> asyncio.Task[UpstreamHandle | DialFailed]:
    return asyncio.get_running_loop().create_task(queue.wait(UPSTREAM, route, wait_s, FAILED))


async def test_all_that_wait_get_a_connection_of_their_own_when_the_app_listens() -> None:
    pool = ScriptedPool()
    queue = RestartQueue(pool)
    tasks = [waiting(queue) for _ in range(5)]
    await until(lambda: pool.dials >= 2)
    pool.listens.set()
    got = await asyncio.gather(*tasks)
    assert len({id(each) for each in got}) == 5
    assert all(isinstance(each, Connection) for each in got)


async def test_one_of_those_that_wait_dials() -> None:
    pool = ScriptedPool()
    queue = RestartQueue(pool)
    tasks = [waiting(queue, 0.3) for _ in range(50)]
    assert set(map(id, await asyncio.gather(*tasks))) == {id(FAILED)}
    assert pool.dials < 20


async def test_another_dials_when_the_client_of_the_first_leaves() -> None:
    pool = ScriptedPool()
    queue = RestartQueue(pool)
    first, second, third = waiting(queue), waiting(queue), waiting(queue)
    await until(lambda: pool.dials >= 1)
    first.cancel()
    second.cancel()
    pool.listens.set()
    assert isinstance(await third, Connection)


async def test_a_time_that_is_over_is_the_end_of_the_wait() -> None:
    queue = RestartQueue(ScriptedPool())
    began = time.monotonic()
    assert await waiting(queue, 0.2) is FAILED
    assert 0.15 < time.monotonic() - began < 1.5


async def test_a_failure_of_another_kind_ends_the_wait_at_once() -> None:
    slow = DialFailed((("127.0.0.1:1", "no answer within 5 s"),), timed_out=True)
    assert await waiting(RestartQueue(ScriptedPool(FAILED, slow)), 60) is slow


async def test_an_app_that_is_gone_again_is_waited_for_again() -> None:
    pool = ScriptedPool()
    queue = RestartQueue(pool)
    first, second = waiting(queue), waiting(queue)
    await until(lambda: pool.dials >= 1)
    pool.listens.set()
    assert isinstance(await first, Connection)
    pool.outcomes = [FAILED, FAILED]
    assert isinstance(await second, Connection)


async def test_at_most_a_hundred_requests_of_a_route_wait() -> None:
    pool = ScriptedPool()
    queue = RestartQueue(pool)
    tasks = [waiting(queue) for _ in range(MAX_WAITING)]
    await until(lambda: pool.dials >= 1)
    assert await waiting(queue) is FAILED
    other = waiting(queue, route="other")
    tasks[0].cancel()
    await asyncio.gather(tasks[0], return_exceptions=True)
    again = waiting(queue)
    pool.listens.set()
    assert all(isinstance(each, Connection) for each in await asyncio.gather(*tasks[1:], other, again))
    assert await asyncio.wait_for(queue.wait(UPSTREAM, "app", 1, FAILED), 5) is not FAILED


async def test_a_closed_queue_lets_nobody_wait() -> None:
    queue = RestartQueue(ScriptedPool())
    queue.close()
    assert await waiting(queue, 60) is FAILED


# -- the pool: which app restarts --------------------------------------------------------------------------------------


@pytest.fixture
def pool() -> Pool:
    return Pool(PoolLimits(connect_timeout_s=2), RESPONSE_LIMITS, client_context)


async def outcome_of(dialling: Awaitable[UpstreamHandle | DialFailed]) -> DialFailed:
    outcome = await dialling
    assert isinstance(outcome, DialFailed)
    return outcome


async def test_an_app_that_was_never_there_does_not_restart(pool: Pool) -> None:
    port = free_port()
    outcome = await outcome_of(pool.dial(Upstream((("127.0.0.1", port),), "", port, "", None, "app")))
    assert (outcome.refused, outcome.restarting) == (True, False)


@pytest.mark.parametrize("long_ago_s", [0, 31])
async def test_an_app_restarts_when_it_has_answered_within_half_a_minute(pool: Pool, long_ago_s: float) -> None:
    async with app(answering()) as backend:
        upstream = Upstream((("127.0.0.1", backend.port),), "", backend.port, "", None, "app")
        connection = await pool.dial(upstream)
        assert isinstance(connection, H1UpstreamConnection)
        pool.release(connection)
        connection.idle_since -= long_ago_s
        pool.close()
    outcome = await outcome_of(pool.dial(upstream))
    assert (outcome.refused, outcome.restarting) == (True, not long_ago_s)


async def _tunnel(pool: Pool, connection: UpstreamHandle) -> None:
    pool.hand_over(connection)
    connection.abort()


async def _give_up(pool: Pool, connection: UpstreamHandle) -> None:
    assert isinstance(connection, H1UpstreamConnection)
    connection.codec.response_started = True
    pool.abort(connection)


@pytest.mark.parametrize("end", [_tunnel, _give_up])
async def test_a_tunnel_or_a_response_that_was_cut_shows_that_the_app_was_there(
    pool: Pool, end: Callable[[Pool, UpstreamHandle], Awaitable[None]]
) -> None:
    async with app(answering()) as backend:
        upstream = Upstream((("127.0.0.1", backend.port),), "", backend.port, "", None, "app")
        connection = await pool.dial(upstream)
        assert not isinstance(connection, DialFailed)
        await end(pool, connection)
    assert (await outcome_of(pool.dial(upstream))).restarting
