"""Random messages in random pieces: what the browser receives is what the app sent, and the other way round.

Guarantee d of RULES.md. Everything is drawn from one seed, which stands in the test's name.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from random import Random

import pytest

from tests.net.harness import AppConnection, Client, Proxy, app

CONNECTIONS = 4
REQUESTS = 12


@dataclass
class Plan:
    """One request and its answer; the app finds it by the request's path."""

    method: bytes
    body: bytes | None
    chunked: bool
    status: int
    answer: bytes
    framing: str
    interim: int
    trailers: bool

    @property
    def answer_has_body(self) -> bool:
        return self.method != b"HEAD" and self.status not in {204, 304}


def draw(random: Random) -> Plan:
    method = random.choice([b"GET", b"GET", b"HEAD", b"POST", b"PUT", b"PURGE"])
    body = random.randbytes(random.choice([0, 1, 100, 70_000])) if method in {b"POST", b"PUT"} else None
    return Plan(
        method,
        body,
        random.random() < 0.5,
        random.choice([200, 200, 200, 404, 204, 304, 500]),
        random.randbytes(random.choice([0, 1, 500, 20_000, 300_000])),
        random.choice(["length", "length", "chunked", "close"]),
        random.choice([0, 0, 0, 1, 3]),
        random.random() < 0.3,
    )


def chunks(random: Random, body: bytes) -> bytes:
    """Cut a body into chunks."""
    out, place = b"", 0
    while place < len(body):
        size = random.choice([1, 10, 1000, 100_000])
        piece = body[place : place + size]
        out += b"%x\r\n%b\r\n" % (len(piece), piece)
        place += size
        if len(out) > 40 * place + 4096:
            break
    rest = body[place:]
    return out + (b"%x\r\n%b\r\n" % (len(rest), rest) if rest else b"")


async def send_in_pieces(random: Random, writer: asyncio.StreamWriter, data: bytes) -> None:
    """Write in pieces, with turns of the loop in between."""
    place = 0
    for _ in range(random.choice([0, 1, 4, 12])):
        size = random.choice([1, 2, 30, 5000])
        writer.write(data[place : place + size])
        place += size
        await asyncio.sleep(0)
    writer.write(data[place:])
    await writer.drain()


def render_request(random: Random, path: bytes, plan: Plan) -> bytes:
    head = b"%b %b HTTP/1.1\r\nHost: app.dev.local\r\n" % (plan.method, path)
    if plan.body is None:
        return head + b"\r\n"
    if plan.chunked:
        return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks(random, plan.body) + b"0\r\n\r\n"
    return head + b"Content-Length: %d\r\n\r\n%b" % (len(plan.body), plan.body)


def render_answer(random: Random, plan: Plan) -> bytes:
    out = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * plan.interim
    out += b"HTTP/1.1 %d Some Reason\r\nX-Check: %d\r\n" % (plan.status, len(plan.answer))
    if not plan.answer_has_body:
        return out + (b"" if plan.status == 204 else b"Content-Length: %d\r\n" % len(plan.answer)) + b"\r\n"
    if plan.framing == "length":
        return out + b"Content-Length: %d\r\n\r\n%b" % (len(plan.answer), plan.answer)
    if plan.framing == "close":
        return out + b"\r\n" + plan.answer
    end = b"0\r\nX-Trailer: 1\r\n\r\n" if plan.trailers else b"0\r\n\r\n"
    return out + b"Transfer-Encoding: chunked\r\n\r\n" + chunks(random, plan.answer) + end


async def read_body(connection: AppConnection, head: bytes) -> bytes:
    lines = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
    if b"transfer-encoding" not in lines:
        return await connection.body(int(lines.get(b"content-length", b"0")))
    body = b""
    while size := int(await connection.reader.readline(), 16):
        body += (await connection.body(size + 2))[:-2]
    await connection.body(2)
    return body


async def ask_all(random: Random, client: Client, paths: list[bytes], plans: dict[bytes, Plan]) -> None:
    """Send a few requests ahead of their answers, in pieces, and check each answer."""
    place = 0
    while place < len(paths):
        batch = paths[place : place + random.choice([1, 1, 2, 4])]
        place += len(batch)
        wire = b"".join(render_request(random, path, plans[path]) for path in batch)
        sending = asyncio.create_task(send_in_pieces(random, client.writer, wire))
        for path in batch:
            await check(client, plans[path])
        await sending
    client.close()


async def check(client: Client, plan: Plan) -> None:
    reply = await client.reply(head_only=not plan.answer_has_body)
    hints = 0
    while reply.status == 103:
        hints += 1
        reply = await client.reply(head_only=not plan.answer_has_body)
    assert (reply.status, hints, reply.field(b"x-check")) == (plan.status, plan.interim, [b"%d" % len(plan.answer)])
    if plan.answer_has_body:
        assert reply.body == plan.answer
        trailers = plan.framing == "chunked" and plan.trailers
        assert reply.trailers == ([b"X-Trailer: 1"] if trailers else [])


@pytest.mark.parametrize("seed", range(6))
async def test_guarantee_d_random_exchanges_arrive_as_they_were_sent(running: Proxy, seed: int) -> None:
    """RFC 9112 6, 7, 9: all framings, pipelined, several connections at once, one pool."""
    random = Random(seed)
    plans = {b"/%d/%d" % (c, r): draw(random) for c in range(CONNECTIONS) for r in range(REQUESTS)}
    bodies: dict[bytes, bytes] = {}

    async def talk(connection: AppConnection) -> None:
        while True:
            head = await connection.head()
            path = head.split(b" ")[1]
            plan = plans[path]
            bodies[path] = await read_body(connection, head)
            await send_in_pieces(random, connection.writer, render_answer(random, plan))
            if plan.framing == "close" and plan.answer_has_body:
                return

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        clients = [await running.connect() for _ in range(CONNECTIONS)]
        await asyncio.gather(
            *(
                ask_all(random, client, [b"/%d/%d" % (number, r) for r in range(REQUESTS)], plans)
                for number, client in enumerate(clients)
            )
        )
    assert bodies == {path: plan.body or b"" for path, plan in plans.items()}
