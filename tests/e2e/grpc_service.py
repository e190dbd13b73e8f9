"""A gRPC service without generated code: all four kinds of call, and what can go wrong in them.

Owns the methods and what they have seen of their callers. Messages are bytes as they are. Strategy: grpc.aio on both
sides, so that service, caller and test share one loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import grpc
import grpc.aio

SERVICE = "devtls.Test"
LARGEST = 8 * 1024 * 1024
SIZES = (("grpc.max_send_message_length", LARGEST), ("grpc.max_receive_message_length", LARGEST))
TROUBLE = "no such thing: 50 % ünder"
"""Has what grpc-message must escape."""


class Service:
    """The methods; each is named by its path below the service."""

    def __init__(self) -> None:
        self.port = 0
        self.started = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.cancelled_at = 0.0
        self.remaining_s: float | None = None
        self.at_once = 0
        self.most_at_once = 0
        self.gate = asyncio.Event()

    async def echo(self, message: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        """Return the message, what came as x-ask as leading metadata, and its bytes as trailing metadata."""
        asked = {key: value for key, value in context.invocation_metadata() or () if key.startswith("x-ask")}
        await context.send_initial_metadata([(f"got-{key}", value) for key, value in asked.items()])
        context.set_trailing_metadata([(f"last-{key}", value) for key, value in asked.items()])
        return message

    async def total(self, messages: AsyncIterator[bytes], _: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        octets = 0
        async for message in messages:
            octets += len(message)
        return str(octets).encode()

    async def count(self, message: bytes, _: grpc.aio.ServicerContext[bytes, bytes]) -> AsyncIterator[bytes]:
        for number in range(int(message)):
            yield str(number).encode()

    async def talk(
        self, messages: AsyncIterator[bytes], _: grpc.aio.ServicerContext[bytes, bytes]
    ) -> AsyncIterator[bytes]:
        yield b"welcome"
        async for message in messages:
            yield message[::-1]

    async def wait(self, message: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> AsyncIterator[bytes]:
        """Send one message and go on until the caller does not want any more."""
        self.remaining_s = context.time_remaining()
        yield message
        self.started.set()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self.cancelled_at = asyncio.get_running_loop().time()
            self.cancelled.set()
            raise

    async def fail(
        self, messages: AsyncIterator[bytes], context: grpc.aio.ServicerContext[bytes, bytes]
    ) -> AsyncIterator[bytes]:
        """Answer the first message, then give up while the caller still has more to say."""
        async for message in messages:
            yield message
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, TROUBLE, (("why-bin", b"\x00\xff\r\n"),))

    async def rendezvous(self, message: bytes, _: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        """Answer once as many calls are open as the message says."""
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        if self.at_once >= int(message):
            self.gate.set()
        await self.gate.wait()
        self.at_once -= 1
        return message

    def handler(self) -> grpc.GenericRpcHandler:
        methods = {
            "Echo": grpc.unary_unary_rpc_method_handler(self.echo),
            "Total": grpc.stream_unary_rpc_method_handler(self.total),
            "Count": grpc.unary_stream_rpc_method_handler(self.count),
            "Talk": grpc.stream_stream_rpc_method_handler(self.talk),
            "Wait": grpc.unary_stream_rpc_method_handler(self.wait),
            "Fail": grpc.stream_stream_rpc_method_handler(self.fail),
            "Rendezvous": grpc.unary_unary_rpc_method_handler(self.rendezvous),
        }
        return grpc.method_handlers_generic_handler(SERVICE, methods)


@asynccontextmanager
async def grpc_service(chain: Mapping[str, bytes] | None = None) -> AsyncIterator[Service]:
    """Serve on a free port: without TLS, or with the `key` and `certificate` of `chain`."""
    service = Service()
    server = grpc.aio.server(options=SIZES)
    server.add_generic_rpc_handlers((service.handler(),))
    if chain is None:
        service.port = server.add_insecure_port("127.0.0.1:0")
    else:
        credentials = grpc.ssl_server_credentials([(chain["key"], chain["certificate"])])
        service.port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        yield service
    finally:
        await server.stop(grace=None)
