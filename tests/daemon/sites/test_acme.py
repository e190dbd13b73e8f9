"""The ACME server of a running proxy: from a signed request to a certificate, and what a reload changes."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from devtls.daemon.sites import acme as acme_site
from devtls.daemon.sites.acme import AcmeSite
from devtls.errors import ConfigError
from devtls.http.events import Request
from devtls.system.machine.paths import Paths
from tests.acme.client import BASE, EC_KEY, HOST, b64, flattened, path_of, public
from tests.daemon.conftest import Answered, App, Running, Start

CONFIG = "[acme]\nenabled = true\n{settings}\n[routes]\n{routes}\n"
CERTIFICATE_KEY = ec.derive_private_key(77, ec.SECP256R1())


def config(directory: Path, settings: str = "", routes: str = "app = 9") -> Path:
    file = directory / "devtls.toml"
    file.write_text(CONFIG.format(settings=settings, routes=routes))
    return file


def csr(*names: str) -> str:
    found = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    builder = builder.add_extension(found, critical=False)
    return b64(builder.sign(CERTIFICATE_KEY, SHA256()).public_bytes(Encoding.DER))


@dataclass
class Acme:
    """A client of a running proxy's ACME server."""

    proxy: Running
    account: str = ""

    async def post(self, path: str, payload: Any = None, *, body: bytes | None = None) -> Answered:
        if body is None:
            nonce = (await self.proxy.get(HOST, "/new-nonce", method="HEAD")).headers["replay-nonce"]
            head: dict[str, Any] = {"alg": "ES256", "nonce": nonce, "url": BASE + path}
            head |= {"kid": self.account} if self.account else {"jwk": public(EC_KEY)}
            content = b"" if payload is None else json.dumps(payload).encode()
            body = json.dumps(flattened(head, content, EC_KEY.key)).encode()
        reader, writer = await self.proxy.connect(HOST)
        fields = f"Host: {HOST}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n"
        writer.write(f"POST {path} HTTP/1.1\r\n{fields}Content-Type: application/jose+json\r\n\r\n".encode() + body)
        found, _, answer = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        status, *lines = found.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        return Answered(int(status.split()[1]), headers, answer)

    async def ask(self, path: str, payload: Any = None) -> dict[str, Any]:
        return dict(json.loads((await self.post(path_of(path), payload)).body))

    async def register(self) -> str:
        self.account = (await self.post("/new-account", {})).headers["location"]
        return self.account

    async def order(self, *names: str) -> dict[str, Any]:
        answer = await self.post("/new-order", {"identifiers": [{"type": "dns", "value": name} for name in names]})
        return {**json.loads(answer.body), "url": answer.headers["location"]}

    async def challenge(self, order: dict[str, Any], kind: str = "http-01") -> dict[str, Any]:
        authorization = await self.ask(order["authorizations"][0])
        return dict(next(one for one in authorization["challenges"] if one["type"] == kind))

    async def settled(self, order: dict[str, Any]) -> dict[str, Any]:
        """Wait until the order is not pending any more."""
        async with asyncio.timeout(10):
            while (found := await self.ask(order["url"]))["status"] == "pending":
                await asyncio.sleep(0.02)
        return found


def proof(challenge: dict[str, Any]) -> bytes:
    return f"{challenge['token']}.{b64(EC_KEY.thumbprint())}".encode()


def site_of(running: Running) -> AcmeSite:
    return cast(AcmeSite, running.daemon._acme)


async def proving(running: Running, client: Acme, order: dict[str, Any], app: App, file: Path) -> dict[str, Any]:
    """Put the proof behind the route `app`, say so, and wait for what comes of it."""
    challenge = await client.challenge(order)
    config(file.parent, routes=f"app = {await app(proof(challenge))}")
    await running.daemon.reload()
    await client.ask(challenge["url"], {})
    return await client.settled(order)


async def test_a_client_comes_to_a_certificate_by_the_proof_behind_its_route(
    start: Start, app: App, tmp_path: Path, paths: Paths
) -> None:
    file = config(tmp_path)
    running = await start(file=file, level="verbose")
    client = Acme(running)
    await client.register()
    order = await client.order("app.dev.local")
    ready = await proving(running, client, order, app, file)
    assert ready["status"] == "ready"
    wrong = await client.post(path_of(ready["finalize"]), {"csr": csr("app.dev.local", "more.dev.local")})
    assert (wrong.status, json.loads(wrong.body)["type"].rpartition(":")[2]) == (400, "badCSR")
    done = await client.ask(ready["finalize"], {"csr": csr("app.dev.local")})
    assert done["status"] == "valid"
    chain = (await client.post(path_of(done["certificate"]))).body
    leaf, intermediate = x509.load_pem_x509_certificates(chain)
    leaf.verify_directly_issued_by(intermediate)
    assert leaf.public_key() == CERTIFICATE_KEY.public_key()
    assert (paths.state_dir / "acme.json").stat().st_mode & 0o777 == 0o600
    # Another key's revocation is refused, the account's counts, once.
    wanted = {"certificate": b64(leaf.public_bytes(Encoding.DER))}
    assert (await client.post("/revoke-cert", wanted)).status == 200
    again = await client.post("/revoke-cert", wanted)
    assert json.loads(again.body)["type"].endswith(":alreadyRevoked")


async def test_an_account_outlives_the_process_and_is_shared_by_two(start: Start, tmp_path: Path) -> None:
    file = config(tmp_path)
    one, two = await start(file=file), await start(file=file)
    account = await Acme(one).register()
    assert await Acme(two).register() == account
    client = Acme(two, account)
    await client.order("a.test")
    assert len((await Acme(one, account).ask(account + "/orders"))["orders"]) == 1


async def test_a_proof_that_is_not_there_is_told_with_where_it_was_looked_for(
    start: Start, app: App, tmp_path: Path
) -> None:
    running = await start(file=config(tmp_path, routes=f"app = {await app(b'something else')}"))
    client = Acme(running)
    await client.register()
    order = await client.order("app.dev.local")
    await client.ask((await client.challenge(order))["url"], {})
    assert (await client.settled(order))["status"] == "invalid"
    assert (await client.challenge(order))["error"]["type"].endswith(":incorrectResponse")


async def test_a_port_for_a_name_comes_before_its_route(start: Start, app: App, tmp_path: Path) -> None:
    right = await app(b"x")
    running = await start(file=config(tmp_path, f'http_port = {{ "app.test" = {right} }}', "app = 9"))
    site = site_of(running)
    place, by_route = site._place("app.test"), site._place("app.dev.local")
    assert place is not None and place.port == right
    assert by_route is not None and by_route.port == 9
    nowhere = site._place("other.test")
    assert nowhere is not None and nowhere.port == 80
    site.http_is_ours = True
    assert site._place("other.test") is None


async def test_tls_alpn_looks_at_the_port_that_was_named(start: Start, tmp_path: Path) -> None:
    running = await start(file=config(tmp_path, 'tls_port = { "app.test" = 9 }'))
    client = Acme(running)
    await client.register()
    order = await client.order("app.test")
    challenge = await client.challenge(order, "tls-alpn-01")
    await client.ask(challenge["url"], {})
    assert (await client.settled(order))["status"] == "invalid"
    assert "127.0.0.1 port 9" in (await client.challenge(order, "tls-alpn-01"))["error"]["detail"]


async def test_open_challenges_are_passed_on_at_port_80_until_they_are_settled(
    start: Start, app: App, tmp_path: Path
) -> None:
    file = config(tmp_path)
    running = await start(file=file)
    client = Acme(running)
    await client.register()
    order = await client.order("app.dev.local")
    challenge = await client.challenge(order)
    path = f"/.well-known/acme-challenge/{challenge['token']}".encode()
    open_now = running.daemon.service.challenges
    assert open_now is not None and open_now.pending == {("app.dev.local", path)}
    assert open_now.wanted("app.dev.local", Request(1, b"GET", path, b"app.dev.local", [])) is not None
    await proving(running, client, order, app, file)
    assert open_now.pending == frozenset()


async def test_a_reload_switches_the_server_on_and_off(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "devtls.toml"
    file.write_text("[routes]\napp = 9\n")
    running = await start(file=file)
    assert (await running.get(HOST, "/directory")).status == 404
    config(tmp_path)
    await running.daemon.reload()
    assert (await running.get(HOST, "/directory")).status == 200
    assert running.daemon.service.challenges is not None
    file.write_text("[routes]\napp = 9\n")
    await running.daemon.reload()
    assert (await running.get(HOST, "/directory")).status == 404
    assert running.daemon.service.challenges is None
    config(tmp_path)
    await running.daemon.reload()
    assert (await running.get(HOST, "/directory")).status == 200


async def test_the_name_acme_is_the_servers(start: Start, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"routes.acme: the name acme is the ACME server's") as caught:
        await start(file=config(tmp_path, routes="acme = 3000"))
    assert caught.value.line == 5
    with pytest.raises(ConfigError, match="command line: acme/x: the name acme is"):
        await start("acme/x=3000", file=config(tmp_path))
    running = await start("acme.test=9", file=config(tmp_path))  # a name in full beats a short one, as ever
    assert (await running.get(HOST, "/directory")).status == 200
    assert (await running.get("acme.test", "/directory")).status == 502


async def test_without_josepy_the_file_is_refused_with_the_way_out(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acme_site, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"acme\.enabled: the ACME server needs josepy") as caught:
        await start(file=config(tmp_path))
    assert "devtls[acme]" in caught.value.hint and caught.value.line == 2


async def test_trouble_with_the_disk_is_the_servers_fault_and_is_logged(
    start: Start, tmp_path: Path, paths: Paths
) -> None:
    running = await start(file=config(tmp_path))
    client = Acme(running)
    await client.register()
    ledger = paths.state_dir / "acme.json"
    content = ledger.read_bytes()
    ledger.write_bytes(b"damaged")
    answer = await client.post("/new-order", {})
    assert (answer.status, json.loads(answer.body)["type"].rpartition(":")[2]) == (500, "serverInternal")
    assert any("an ACME request could not be answered" in line for line in running.lines)
    assert ledger.read_bytes() == b"damaged"
    ledger.write_bytes(content)
    assert (await client.order("a.test"))["status"] == "pending"


async def test_a_request_that_is_too_long_is_refused(start: Start, tmp_path: Path) -> None:
    running = await start(file=config(tmp_path))
    answer = await Acme(running).post("/new-account", body=b"x" * 70_000)
    assert (answer.status, answer.headers["content-type"]) == (413, "application/problem+json")


async def test_what_programs_on_the_web_may_not_do(start: Start, tmp_path: Path) -> None:
    """A page cannot sign requests: the content type needs a permission that nobody gives (CORS)."""
    running = await start(file=config(tmp_path))
    asked = "Origin: https://evil.example\r\nAccess-Control-Request-Method: POST\r\n"
    answer = await running.get(HOST, "/new-account", method="OPTIONS", headers=asked)
    assert answer.status == 405
    assert not any(name.startswith("access-control") for name in answer.headers)
    assert answer.headers["x-content-type-options"] == "nosniff" and answer.headers["server"] == "devtls"
