"""gRPC through the proxy: a real client and a real server, over h2c:// and over h2:// with a certificate of its own."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio
import pytest

from tests.bench.certificates import write_chain
from tests.e2e.grpc_service import SERVICE, SIZES, TROUBLE, Service, grpc_service
from tests.e2e.serving import Serving, serving
from tests.locks import free_port

pytestmark = pytest.mark.e2e

NAME, DEAD = "app.dev.local", "dead.dev.local"
LARGE = 4 * 1024 * 1024
AT_ONCE = 100
PATIENCE_S = 30.0
PROMPT_S = 0.2
ATTEMPTS = 5


@dataclass(frozen=True)
class Caller:
    """A channel to the proxy, with the four kinds of call as methods of the test service."""

    channel: grpc.aio.Channel

    def unary(self, method: str) -> grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]:
        return self.channel.unary_unary(f"/{SERVICE}/{method}")

    def upload(self, method: str) -> grpc.aio.StreamUnaryMultiCallable[bytes, bytes]:
        return self.channel.stream_unary(f"/{SERVICE}/{method}")

    def download(self, method: str) -> grpc.aio.UnaryStreamMultiCallable[bytes, bytes]:
        return self.channel.unary_stream(f"/{SERVICE}/{method}")

    def both(self, method: str) -> grpc.aio.StreamStreamMultiCallable[bytes, bytes]:
        return self.channel.stream_stream(f"/{SERVICE}/{method}")


@pytest.fixture(params=["h2c", "h2"])
async def service(request: pytest.FixtureRequest, home: Path) -> AsyncIterator[Service]:
    """The service, with a devtls.toml in the home that routes to it."""
    chain, option = None, ""
    if request.param == "h2":
        write_chain(home, "127.0.0.1")
        chain = {"key": (home / "leaf.key").read_bytes(), "certificate": (home / "leaf.pem").read_bytes()}
        option = f', ca = "{home / "root.pem"}"'
    async with grpc_service(chain) as service:
        (home / "devtls.toml").write_text(
            f'[routes]\napp = {{ target = "{request.param}://127.0.0.1:{service.port}"{option} }}\n'
            f'dead = "h2c://127.0.0.1:{free_port()}"\n'
        )
        yield service


@pytest.fixture
async def proxy(home: Path, service: Service) -> AsyncIterator[Serving]:
    async with serving(home) as proxy:
        yield proxy


@contextlib.asynccontextmanager
async def calling(proxy: Serving, name: str = NAME) -> AsyncIterator[Caller]:
    """Open a channel; the name is in no DNS, so the address stands beside the name that is verified."""
    names = (("grpc.ssl_target_name_override", name), ("grpc.default_authority", f"{name}:{proxy.port}"))
    credentials = grpc.ssl_channel_credentials(proxy.root.read_bytes())
    address = f"ipv4:127.0.0.1:{proxy.port}"
    async with grpc.aio.secure_channel(address, credentials, options=(*SIZES, *names)) as channel:
        yield Caller(channel)


@pytest.fixture
async def caller(proxy: Serving) -> AsyncIterator[Caller]:
    async with calling(proxy) as caller:
        yield caller


async def repeat(message: bytes, times: int) -> AsyncIterator[bytes]:
    for _ in range(times):
        yield message


async def test_all_four_kinds_of_call(caller: Caller) -> None:
    assert await caller.unary("Echo")(b"one", timeout=PATIENCE_S) == b"one"
    assert await caller.unary("Echo")(b"", timeout=PATIENCE_S) == b""
    assert await caller.upload("Total")(repeat(b"12345", 1000), timeout=PATIENCE_S) == b"5000"
    counted = [message async for message in caller.download("Count")(b"1000", timeout=PATIENCE_S)]
    assert counted == [str(number).encode() for number in range(1000)]
    talked = [message async for message in caller.both("Talk")(repeat(b"abc", 100), timeout=PATIENCE_S)]
    assert talked == [b"welcome", *[b"cba"] * 100]


async def test_both_sides_talk_at_once(caller: Caller) -> None:
    """The service speaks first, and each message is sent only when the one before has come back."""
    call = caller.both("Talk")(timeout=PATIENCE_S)
    assert await call.read() == b"welcome"
    for number in range(50):
        await call.write(f"turn {number}".encode())
        assert await call.read() == f"turn {number}".encode()[::-1]
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


async def test_metadata_go_in_both_directions_before_and_after_the_message(caller: Caller) -> None:
    asked: list[tuple[str, str | bytes]] = [("x-ask", "plain, with a comma"), ("x-ask-bin", bytes(range(256)))]
    call = caller.unary("Echo")(b"", metadata=asked, timeout=PATIENCE_S)
    await call
    leading, trailing = await call.initial_metadata(), await call.trailing_metadata()
    for key, value in asked:
        assert leading[f"got-{key}"] == value
        assert trailing[f"last-{key}"] == value
    assert (await call.code(), await call.details()) == (grpc.StatusCode.OK, "")


async def test_the_services_error_reaches_a_caller_that_still_speaks(caller: Caller) -> None:
    call = caller.both("Fail")(timeout=PATIENCE_S)
    await call.write(b"first")
    assert await call.read() == b"first"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert caught.value.details() == TROUBLE
    assert caught.value.trailing_metadata()["why-bin"] == b"\x00\xff\r\n"


async def test_an_answer_of_trailers_alone_stays_one(caller: Caller) -> None:
    """An unknown method is answered with a head that ends its stream; head and empty data are no answer to a client."""
    for _ in range(20):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await caller.unary("Nothing")(b"", timeout=PATIENCE_S)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED, caught.value


async def test_large_messages_pass_in_both_directions(caller: Caller) -> None:
    message = bytes(range(256)) * (LARGE // 256)
    assert await caller.unary("Echo")(message, timeout=PATIENCE_S) == message
    answers = [answer async for answer in caller.both("Talk")(repeat(message, 3), timeout=PATIENCE_S)]
    assert answers == [b"welcome", *[message[::-1]] * 3]


async def test_a_hundred_calls_are_open_at_once(caller: Caller, service: Service) -> None:
    """Each waits in the service until all of them are there."""
    wanted = str(AT_ONCE).encode()
    calls = [caller.unary("Rendezvous")(wanted, timeout=PATIENCE_S) for _ in range(AT_ONCE)]
    assert await asyncio.gather(*calls) == [wanted] * AT_ONCE
    assert service.most_at_once == AT_ONCE


async def test_a_deadline_ends_the_call_on_both_sides(caller: Caller, service: Service) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in caller.download("Wait")(b"", timeout=1.0):
            pass
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert service.remaining_s is not None
    assert 0 < service.remaining_s <= 1.0
    await asyncio.wait_for(service.cancelled.wait(), PATIENCE_S)


async def test_a_cancelled_call_is_cancelled_in_the_service_at_once(caller: Caller, service: Service) -> None:
    took: list[float] = []
    for _ in range(ATTEMPTS):
        service.started.clear()
        service.cancelled.clear()
        call = caller.download("Wait")(b"begun", timeout=PATIENCE_S)
        assert await call.read() == b"begun"
        await asyncio.wait_for(service.started.wait(), PATIENCE_S)
        at = asyncio.get_running_loop().time()
        call.cancel()
        await asyncio.wait_for(service.cancelled.wait(), PATIENCE_S)
        took.append(service.cancelled_at - at)
    assert statistics.median(took) < PROMPT_S, took
    assert await caller.unary("Echo")(b"and on", timeout=PATIENCE_S) == b"and on"


async def test_a_service_that_is_down_is_unavailable(proxy: Serving, service: Service) -> None:
    async with calling(proxy, DEAD) as caller:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await caller.unary("Echo")(b"", timeout=PATIENCE_S)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
