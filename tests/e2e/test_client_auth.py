"""Client certificates as people use them: curl over both versions of HTTP and `openssl s_client`, against a running
`devtls serve` whose routes ask for one.

The certificates are of the CA that `serve` made, and one of them is taken back while it runs.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from devtls.pki.authority import Authority
from devtls.system.machine.paths import Paths
from devtls.system.machine.private_files import replace_private_file
from devtls.system.storage.keystore import Keystore
from tests.e2e.clients import Ended, RequireTool, run
from tests.e2e.serving import DEVTLS, Serving, serving
from tests.net.client_certificates import ClientCertificate, make_client_certificate, trust_pem
from tests.net.harness import make_authority

pytestmark = pytest.mark.e2e

SAFE, ASKING, OPEN = "safe.localhost", "asking.localhost", "open.localhost"
CONFIG = """\
[dns]
enabled = false
[pac]
enabled = false
[routes]
safe = {{ target = {port}, client_auth = "require" }}
asking = {{ target = {port}, client_auth = "request" }}
open = {port}
"""
HTTP = pytest.mark.parametrize("version", ["--http1.1", "--http2"])


@dataclass(frozen=True)
class Scene:
    """The proxy, its CA, and who comes."""

    proxy: Serving
    authority: Authority
    directory: Path
    curl_path: str
    openssl: str

    def certificate(self, authority: Authority | None = None) -> ClientCertificate:
        return make_client_certificate(self.directory, (authority or self.authority).issuer_for("client"))

    async def curl(self, name: str, certificate: ClientCertificate | None, *options: str) -> Ended:
        quiet = (self.curl_path, "--silent", "--show-error", "--max-time", "20", "--cacert", str(self.proxy.root))
        shown = () if certificate is None else ("--cert", str(certificate.pem), "--key", str(certificate.key))
        return await run((*quiet, *shown, *options, self.proxy.url(name)))

    async def s_client(self, name: str, certificate: ClientCertificate | None, *options: str) -> str:
        """Ask for / and return all that is said on the way."""
        shown = () if certificate is None else ("-cert", str(certificate.pem), "-key", str(certificate.key))
        where = ("-connect", f"127.0.0.1:{self.proxy.port}", "-servername", name, "-CAfile", str(self.proxy.root))
        script = (
            f'printf "GET / HTTP/1.1\\r\\nHost: {name}\\r\\nConnection: close\\r\\n\\r\\n" | exec "$0" s_client "$@"'
        )
        done = await run(("/bin/sh", "-c", script, self.openssl, *where, *shown, "-ign_eof", *options))
        return done.stdout + done.stderr


async def tell(request: web.Request) -> web.Response:
    """Say what the app knows of its client."""
    told = [f"{name}: {value}" for name, value in request.headers.items() if "cert" in name.lower()]
    return web.Response(text="\n".join(["hello", *told]))


@pytest.fixture
async def scene(home: Path, tmp_path: Path, require_tool: RequireTool) -> AsyncIterator[Scene]:
    tools = [require_tool(name, f"sudo apt-get install {name}") for name in ("curl", "openssl")]
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", tell)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    (home / "devtls.toml").write_text(CONFIG.format(port=runner.addresses[0][1]))
    async with serving(home) as proxy:
        authority = Keystore(Paths.from_environment().state_dir).load(datetime.now(UTC))
        yield Scene(proxy, authority, tmp_path, *tools)
    await runner.cleanup()


@HTTP
async def test_curl_is_let_in_with_a_certificate_and_refused_without(scene: Scene, version: str) -> None:
    alice = scene.certificate()
    done = await scene.curl(SAFE, alice, version, "-H", "Client-Cert: :forged=:", "-H", "client_cert: x")
    assert done.returncode == 0, done.stderr
    leaf = base64.b64encode(alice.der).decode()
    chain = base64.b64encode(scene.authority.issuer_for("client").certificate.public_bytes(Encoding.DER)).decode()
    assert done.stdout.splitlines() == ["hello", f"Client-Cert: :{leaf}:", f"Client-Cert-Chain: :{chain}:"]
    for name in (SAFE, ASKING):
        foreign = await scene.curl(name, scene.certificate(make_authority()), version)
        assert "unknown ca" in foreign.stderr.lower()
        assert foreign.returncode
        assert foreign.stdout == ""
    without = await scene.curl(SAFE, None, version)
    assert without.returncode
    assert "certificate required" in without.stderr.lower()
    assert (await scene.curl(ASKING, None, version, "-H", "Client-Cert: :forged=:")).stdout == "hello"
    assert (await scene.curl(OPEN, alice, version, "-H", "Client-Cert: :forged=:")).stdout == "hello"
    said = scene.proxy.program.output()
    start = "a client of safe.localhost, which asks for a certificate, was not let in: "
    assert f"{start}another CA signed its certificate" in said
    assert f"{start}it showed no certificate. `devtls cert NAME --client`" in said


async def test_a_certificate_that_devtls_made_is_accepted(scene: Scene) -> None:
    """The two commands of the documentation."""
    made = await run((*DEVTLS, "cert", "alice.dev.local", "--client", "--out", str(scene.directory)))
    assert made.returncode == 0, made.stderr
    shown = (
        "--cert",
        str(scene.directory / "alice.dev.local.pem"),
        "--key",
        str(scene.directory / "alice.dev.local-key.pem"),
    )
    done = await scene.curl(SAFE, None, *shown)
    assert done.stdout.startswith("hello\nClient-Cert: :"), done.stderr


@HTTP
async def test_a_connection_to_one_name_answers_for_no_other(scene: Scene, version: str) -> None:
    for name, other, certificate in ((OPEN, SAFE, None), (OPEN, SAFE, True), (SAFE, OPEN, True)):
        shown = scene.certificate() if certificate else None
        done = await scene.curl(name, shown, version, "-H", f"Host: {other}", "--write-out", "\n%{http_code}")
        assert done.stdout.rpartition("\n")[2] == "421", done.stderr


async def test_curl_opens_a_connection_for_each_name(scene: Scene) -> None:
    """Over HTTP/2 one connection may serve several names; with a leaf for each it never does."""
    alice = scene.certificate()
    urls = [scene.proxy.url(name) for name in (SAFE, OPEN)]
    done = await scene.curl(OPEN, alice, "--http2", "--write-out", "\n%{num_connects} %{http_code}\n", *urls)
    counts = [line for line in done.stdout.splitlines() if line[:1].isdigit()]
    assert sorted(counts) == ["0 200", "1 200", "1 200"], "three requests to two names"


async def test_a_certificate_that_is_revoked_while_it_runs(scene: Scene) -> None:
    alice, bob = scene.certificate(), scene.certificate()
    assert (await scene.curl(SAFE, alice)).returncode == 0
    crl = trust_pem(scene.authority, alice)
    der = x509.load_pem_x509_crl(crl[crl.index(b"-----BEGIN X509 CRL") :]).public_bytes(Encoding.DER)
    directory = Keystore(Paths.from_environment().state_dir).directory_of(scene.authority)
    replace_private_file(directory / "client-intermediate.crl", der)
    # The request that is under way at that moment is cut off, with another word.
    while "certificate revoked" not in (await scene.curl(SAFE, alice)).stderr.lower():
        assert scene.proxy.program.process.poll() is None
    assert (await scene.curl(SAFE, bob)).returncode == 0


@pytest.mark.parametrize("version", ["-tls1_3", "-tls1_2"])
async def test_a_session_of_another_name_is_worth_nothing(scene: Scene, version: str) -> None:
    session, alice = str(scene.directory / "session"), scene.certificate()
    said = await scene.s_client(OPEN, None, version, "-sess_out", session)
    assert "hello" in said
    assert "Reused" in await scene.s_client(OPEN, None, version, "-sess_in", session), "else this shows nothing"
    refused = await scene.s_client(SAFE, None, version, "-sess_in", session)
    assert "hello" not in refused
    assert "Reused" not in refused
    alert = "certificate required" if version == "-tls1_3" else "handshake failure"
    assert f"alert {alert}" in refused
    let_in = await scene.s_client(SAFE, alice, version, "-sess_in", session)
    assert "hello" in let_in
    assert "Client-Cert: :" in let_in
    assert "Reused" not in let_in


async def test_tls_1_3_gives_no_ticket_to_those_who_were_let_in(scene: Scene) -> None:
    session, alice = scene.directory / "session", scene.certificate()
    assert "hello" in await scene.s_client(SAFE, alice, "-tls1_3", "-sess_out", str(session))
    again = ("-sess_in", str(session)) if session.exists() else ()
    assert "Reused" not in await scene.s_client(SAFE, alice, "-tls1_3", *again)
