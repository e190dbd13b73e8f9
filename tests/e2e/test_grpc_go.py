"""The interoperability cases of gRPC against a server on grpc-go, which reads HTTP/2 frames in its own way.

The server is built from Debian's packages; the client is grpcio.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import grpc
import grpc.aio
import pytest

from tests.e2e.clients import RequireTool
from tests.e2e.grpc_service import SIZES
from tests.e2e.serving import serving
from tests.e2e.test_grpc import NAME, PATIENCE_S

pytestmark = pytest.mark.e2e

SOURCE = Path(__file__).with_name("grpc_go_server.go")
PACKAGES = Path("/usr/share/gocode")
INSTALL = "sudo apt-get install golang-go golang-google-grpc-dev"
LARGE = 271_828
SIZES_OF_STREAM = (31_415, 9, 2_653, 58_979)


@pytest.fixture(scope="module")
def server_program(
    require_tool: RequireTool, missing: Callable[[str], None], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The server, built."""
    go = require_tool("go", INSTALL)
    if not (PACKAGES / "src/google.golang.org/grpc/server.go").exists():
        missing(f"grpc-go is not installed: {INSTALL}")
    folder = tmp_path_factory.mktemp("go")
    program = folder / "server"
    env = {**os.environ, "GO111MODULE": "off", "GOPATH": str(PACKAGES), "GOCACHE": str(folder / "cache")}
    subprocess.run([go, "build", "-o", str(program), str(SOURCE)], env=env, check=True, timeout=600)
    return program


@pytest.fixture
def server_port(server_program: Path) -> Iterator[int]:
    """The server, running."""
    process = subprocess.Popen([str(server_program), "127.0.0.1:0"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield int(process.stdout.readline().rpartition(":")[2])
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.fixture
async def channel(home: Path, server_port: int) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to the server through devtls."""
    (home / "devtls.toml").write_text(f'[routes]\napp = "h2c://127.0.0.1:{server_port}"\n')
    async with serving(home) as proxy:
        names = (("grpc.ssl_target_name_override", NAME), ("grpc.default_authority", f"{NAME}:{proxy.port}"))
        credentials = grpc.ssl_channel_credentials(proxy.root.read_bytes())
        address = f"ipv4:127.0.0.1:{proxy.port}"
        async with grpc.aio.secure_channel(address, credentials, options=(*SIZES, *names)) as channel:
            yield channel


async def empty_unary(channel: grpc.aio.Channel) -> None:
    assert await channel.unary_unary("/devtls.Test/Unary")(b"", timeout=PATIENCE_S) == b""


async def large_unary(channel: grpc.aio.Channel) -> None:
    unary = channel.unary_unary("/devtls.Test/Unary")
    assert await unary(b"x" * LARGE, timeout=PATIENCE_S) == b"x" * LARGE
    assert await unary(b"size:%d" % LARGE, timeout=PATIENCE_S) == bytes(LARGE)


async def client_streaming(channel: grpc.aio.Channel) -> None:
    total = channel.stream_unary("/devtls.Test/Total")
    assert await total(map(bytes, (27_182, 8, 1_828, 45_904)), timeout=PATIENCE_S) == b"74922"


async def server_streaming(channel: grpc.aio.Channel) -> None:
    asked = b",".join(b"size:%d" % size for size in SIZES_OF_STREAM)
    got = [len(message) async for message in channel.unary_stream("/devtls.Test/Count")(asked, timeout=PATIENCE_S)]
    assert got == list(SIZES_OF_STREAM)


async def ping_pong(channel: grpc.aio.Channel) -> None:
    call = channel.stream_stream("/devtls.Test/Talk")(timeout=PATIENCE_S)
    for size in SIZES_OF_STREAM:
        await call.write(b"size:%d" % size)
        assert len(await call.read()) == size
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


async def empty_stream(channel: grpc.aio.Channel) -> None:
    """HEADERS, and an empty DATA that ends the stream: grpc-go needs the second."""
    call = channel.stream_stream("/devtls.Test/Talk")(timeout=PATIENCE_S)
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


async def timeout_on_sleeping_server(channel: grpc.aio.Channel) -> None:
    call = channel.stream_stream("/devtls.Test/Sleep")(timeout=0.2)
    await call.write(b"x" * 27_182)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def cancel_after_begin(channel: grpc.aio.Channel) -> None:
    call = channel.stream_unary("/devtls.Test/Total")(timeout=PATIENCE_S)
    await call.write(b"x")
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await call.code() is grpc.StatusCode.CANCELLED


async def cancel_after_first_response(channel: grpc.aio.Channel) -> None:
    call = channel.stream_stream("/devtls.Test/Talk")(timeout=PATIENCE_S)
    await call.write(b"size:31415")
    assert len(await call.read()) == 31_415
    call.cancel()
    assert await call.code() is grpc.StatusCode.CANCELLED


async def unimplemented_method(channel: grpc.aio.Channel) -> None:
    await _fails(
        channel, "/devtls.Test/Nothing", b"", grpc.StatusCode.UNIMPLEMENTED, "there is no /devtls.Test/Nothing"
    )


async def unimplemented_service(channel: grpc.aio.Channel) -> None:
    method = "/devtls.None/Unary"
    await _fails(channel, method, b"", grpc.StatusCode.UNIMPLEMENTED, f"there is no {method}")


async def custom_metadata(channel: grpc.aio.Channel) -> None:
    asked = (("x-initial", "test_initial_metadata_value"), ("x-trailing-bin", b"\xab\xab\xab"))
    unary = channel.unary_unary("/devtls.Test/Unary")(b"one", metadata=asked, timeout=PATIENCE_S)
    assert await unary == b"one"
    talk = channel.stream_stream("/devtls.Test/Talk")(metadata=asked, timeout=PATIENCE_S)
    await talk.write(b"two")
    assert await talk.read() == b"two"
    await talk.done_writing()
    for call in (unary, talk):
        leading, trailing = await call.initial_metadata(), await call.trailing_metadata()
        assert leading["x-initial"] == "test_initial_metadata_value"
        assert trailing["x-trailing-bin"] == b"\xab\xab\xab"


async def status_code_and_message(channel: grpc.aio.Channel) -> None:
    message = "test status message"
    await _fails(channel, "/devtls.Test/Unary", b"status:2:" + message.encode(), grpc.StatusCode.UNKNOWN, message)
    call = channel.stream_stream("/devtls.Test/Talk")(timeout=PATIENCE_S)
    await call.write(b"status:2:" + message.encode())
    await call.done_writing()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.UNKNOWN, message)


async def special_status_message(channel: grpc.aio.Channel) -> None:
    message = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP \N{SMILING FACE WITH HORNS}\t\n"
    await _fails(channel, "/devtls.Test/Unary", b"status:2:" + message.encode(), grpc.StatusCode.UNKNOWN, message)


async def _fails(channel: grpc.aio.Channel, method: str, said: bytes, code: grpc.StatusCode, details: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await channel.unary_unary(method)(said, timeout=PATIENCE_S)
    assert (caught.value.code(), caught.value.details()) == (code, details)


CASES = (
    empty_unary, large_unary, client_streaming, server_streaming, ping_pong, empty_stream, timeout_on_sleeping_server,
    cancel_after_begin, cancel_after_first_response, unimplemented_method, unimplemented_service, custom_metadata,
    status_code_and_message, special_status_message,
)  # fmt: skip


async def test_fourteen_of_fourteen_interoperability_cases_pass_against_grpc_go(channel: grpc.aio.Channel) -> None:
    """https://github.com/grpc/grpc/blob/master/doc/interop-test-descriptions.md, all but compression, credentials."""
    assert len(CASES) == 14
    for case in CASES:
        try:
            async with asyncio.timeout(PATIENCE_S):
                await case(channel)
        except (AssertionError, TimeoutError, grpc.aio.AioRpcError) as error:
            pytest.fail(f"{case.__name__}: {error!r}")
