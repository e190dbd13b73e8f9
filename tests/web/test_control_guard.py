"""Who is let near a control port: whoever proves to know its token, and no browser."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from aiohttp import ClientSession, web

from devtls.web.control_guard import port_guard
from devtls.web.control_proof import (
    DIGEST_FIELD,
    NONCE_FIELD,
    PROOF_FIELD,
    PROOF_PATH,
    ControlRequest,
    digest_of,
    proof_of_client,
    proof_of_server,
)

TOKEN = b"t" * 32
NONCE = "0123456789abcdef" * 2


class Port:
    """A guarded port, and somebody who asks there."""

    def __init__(self, number: int, session: ClientSession) -> None:
        self.number = number
        self._session = session

    async def ask(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> tuple[int, Mapping[str, str], str]:
        url = f"http://127.0.0.1:{self.number}{path}"
        async with self._session.request(method, url, headers=headers, data=body) as answer:
            return answer.status, answer.headers, await answer.text()

    async def given(self) -> str:
        status, headers, _ = await self.ask("GET", PROOF_PATH, {NONCE_FIELD: NONCE})
        assert status == 200
        given = headers[NONCE_FIELD]
        assert headers[PROOF_FIELD] == proof_of_server(TOKEN, self.number, NONCE, given)
        return given

    def proof(self, given: str, asked: ControlRequest, token: bytes = TOKEN) -> dict[str, str]:
        proof = proof_of_client(token, self.number, given, asked)
        return {NONCE_FIELD: given, DIGEST_FIELD: digest_of(asked.body), PROOF_FIELD: proof}


@pytest.fixture
async def port() -> AsyncIterator[Port]:
    guards: list[Any] = []

    async def handle(request: web.Request) -> web.Response:
        refused: web.Response | None = await guards[0](request)
        return web.Response(text=(await request.read()).decode()) if refused is None else refused

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    number = int(runner.addresses[0][1])
    guards.append(port_guard(number, TOKEN))
    async with ClientSession() as session:
        yield Port(number, session)
    await runner.cleanup()


ASKED = ControlRequest("POST", "/v1/stop", b'{"now": true}')


async def test_whoever_proves_the_token_is_let_in_once(port: Port) -> None:
    proof = port.proof(await port.given(), ASKED)
    assert (await port.ask(*ASKED[:2], proof, ASKED.body))[::2] == (200, '{"now": true}')
    assert (await port.ask(*ASKED[:2], proof, ASKED.body))[0] == 403


@pytest.mark.parametrize(
    "sent",
    [
        ASKED._replace(method="GET"),
        ASKED._replace(path="/v1/reload"),
        ASKED._replace(path="/v1/stop?x"),
        ASKED._replace(body=b'{"now": false}'),
    ],
)
async def test_a_proof_is_for_one_request_alone(port: Port, sent: ControlRequest) -> None:
    proof = port.proof(await port.given(), ASKED)
    status, _, text = await port.ask(*sent[:2], proof, sent.body)
    assert (status, json.loads(text)["trouble"]["message"]) == (403, "The request proves nothing.")


async def test_without_the_token_nobody_gets_anything(port: Port) -> None:
    given = await port.given()
    for headers in (
        {},
        {NONCE_FIELD: given},
        {NONCE_FIELD: given, PROOF_FIELD: "0" * 64},
        {NONCE_FIELD: given, PROOF_FIELD: "é"},
        port.proof(await port.given(), ASKED, b"u" * 32),
        port.proof(NONCE, ASKED),
    ):
        assert (await port.ask(*ASKED[:2], headers, ASKED.body))[0] == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Host": "evil.example"},
        {"Host": "localhost"},
    ],
)
async def test_no_page_is_let_near(port: Port, headers: dict[str, str]) -> None:
    status, answered, text = await port.ask("GET", PROOF_PATH, {NONCE_FIELD: NONCE, **headers})
    assert (status, PROOF_FIELD in answered) == (403, False)
    assert "for the commands of devtls alone" in text
    proof = port.proof(await port.given(), ASKED)
    assert (await port.ask(*ASKED[:2], {**proof, **headers}, ASKED.body))[0] == 403


@pytest.mark.parametrize("nonce", ["", "x", NONCE + "0", NONCE[:-1] + "-"])
async def test_what_is_no_question_is_proven_nothing(port: Port, nonce: str) -> None:
    status, headers, _ = await port.ask("GET", PROOF_PATH, {NONCE_FIELD: nonce})
    assert (status, PROOF_FIELD in headers) == (403, False)


async def test_a_flood_of_questions_and_wrong_proofs_does_not_stand_in_the_users_way(port: Port) -> None:
    proof = port.proof(await port.given(), ASKED)
    for _ in range(200):
        theirs = await port.given()
        assert (await port.ask(*ASKED[:2], port.proof(theirs, ASKED, b"x" * 32), ASKED.body))[0] == 403
    # Nor can the user's own nonce be spent by somebody without the token.
    assert (await port.ask(*ASKED[:2], {**proof, PROOF_FIELD: "0" * 64}, ASKED.body))[0] == 403
    assert (await port.ask(*ASKED[:2], proof, ASKED.body))[0] == 200


@pytest.mark.parametrize("proven", [False, True])
async def test_no_body_is_waited_for_before_the_proof(port: Port, proven: bool) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port.number)
    fields = port.proof(await port.given(), ASKED, TOKEN if proven else b"x" * 32)
    lines = [f"{name}: {value}" for name, value in fields.items()]
    head = ["POST /v1/stop HTTP/1.1", f"Host: 127.0.0.1:{port.number}", f"Content-Length: {len(ASKED.body)}", *lines]
    writer.write("\r\n".join([*head, "", ""]).encode())
    if proven:
        answer = asyncio.create_task(reader.readuntil(b"true}"))
        await asyncio.wait([answer], timeout=0.2)
        assert not answer.done()
        writer.write(ASKED.body)
        assert (await asyncio.wait_for(answer, 5)).startswith(b"HTTP/1.1 200 ")
    else:
        assert (await asyncio.wait_for(reader.readuntil(b"\r\n"), 5)).startswith(b"HTTP/1.1 403 ")
    writer.close()


async def test_a_body_without_a_digest_is_refused(port: Port) -> None:
    proof = port.proof(await port.given(), ASKED)
    del proof[DIGEST_FIELD]
    assert (await port.ask(*ASKED[:2], proof, ASKED.body))[0] == 403
    nothing = ASKED._replace(body=b"")
    proof = port.proof(await port.given(), nothing)
    del proof[DIGEST_FIELD]
    assert (await port.ask(*nothing[:2], proof))[0] == 200
