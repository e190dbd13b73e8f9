"""Real clients under `devtls env --`, on a machine where no store knows the root.

Each accepts an app of `devtls serve`, goes on accepting a site of the CA that the user's own variables named before
(so trust was added, not replaced), and refuses a name outside the zones that the intermediate did sign for.
"""

from __future__ import annotations

import json
import socket
import socketserver
import ssl
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from devtls.pki.authority import FOREIGN_NAME
from devtls.pki.java_truststore import write_pkcs12
from devtls.system.changes.clientenv.variables import NAMES as VARIABLES
from tests.e2e.clients import Ended, RequireTool, run
from tests.e2e.https_site import forged_site, https_site, in_thread
from tests.e2e.programs import ANSWER, NAMES, Program, make_site, program
from tests.e2e.serving import DEVTLS, serving

pytestmark = pytest.mark.e2e

CORPORATE_NAME = "www.corporate.example"
APPS = ("app.dev.local", "app.localhost")
TRUST_STORE = "-Djavax.net.ssl.trustStore="
CLIENTS = tuple(name for name in NAMES if name != "gnutls-cli")
"""Every program that can be sent through a proxy."""


@dataclass(frozen=True)
class Sites:
    """Three ports that serve the same files: under our CA, under the corporate one, and forged under ours."""

    served: int
    corporate: int
    foreign: int
    proxy: int
    directory: Path


class _Tunnel(socketserver.StreamRequestHandler):
    """An HTTP proxy for CONNECT that finds every name on this machine: the names of the tests are in no DNS."""

    def handle(self) -> None:
        port = int(self.rfile.readline().split()[1].rpartition(b":")[2])
        while self.rfile.readline().strip():
            continue
        with socket.create_connection(("127.0.0.1", port)) as there:
            self.request.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=_hand_on, args=(there, self.request))
            back.start()
            _hand_on(self.request, there)
            back.join()


def _hand_on(source: socket.socket, target: socket.socket) -> None:
    """Copy until either side ends, however it ends, and end the other one."""
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


class Corporation:
    """A CA as a company has one: without constraints, in no system's store."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Corporate Root")])
        may_sign = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        self.root = self._certificate(self._name, self._key, x509.BasicConstraints(ca=True, path_length=None), may_sign)
        self.root_der = self.root.public_bytes(Encoding.DER)
        self.root_pem = self.root.public_bytes(Encoding.PEM)

    def _certificate(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *extensions: x509.ExtensionType
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder(self._name, subject, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=not isinstance(extension, x509.ExtendedKeyUsage))
        return builder.sign(self._key, SHA256())

    def context(self, name: str, directory: Path) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.DNSName(name)])
        leaf = self._certificate(x509.Name([]), key, names, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]))
        file = directory / "corporate-leaf.pem"
        file.write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + leaf.public_bytes(Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context


@pytest.fixture
def corporation() -> Corporation:
    return Corporation()


@pytest.fixture
def own(home: Path, corporation: Corporation) -> dict[str, str]:
    """Return what the user's shell had set before: the company's CA alone, everywhere."""
    (home / "corp.pem").write_bytes(corporation.root_pem)
    (home / "co rp.p12").write_bytes(write_pkcs12({"corp": corporation.root_der}))
    variables = {name: str(home / "corp.pem") for name in VARIABLES}
    return {**variables, "JAVA_TOOL_OPTIONS": f"-Xmx128m '{TRUST_STORE}{home / 'co rp.p12'}'"}


@pytest.fixture
async def sites(home: Path, corporation: Corporation, require_tool: RequireTool) -> AsyncIterator[Sites]:
    directory = make_site(home / "site", require_tool)
    async with serving(home, "app=./site") as proxy:
        with ExitStack() as stack:
            yield Sites(
                proxy.port,
                stack.enter_context(https_site(corporation.context(CORPORATE_NAME, home), directory)),
                stack.enter_context(forged_site(home / "state", directory)),
                stack.enter_context(in_thread(socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Tunnel))),
                directory,
            )


@pytest.fixture
def client(request: pytest.FixtureRequest, home: Path, require_tool: RequireTool) -> Program:
    return program(request.param, home, require_tool)


async def fetch(client: Program, url: str, sites: Sites, own: Mapping[str, str], *, bare: bool = False) -> Ended:
    through = {
        "https_proxy": f"http://127.0.0.1:{sites.proxy}",
        "JDK_JAVA_OPTIONS": f"-Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort={sites.proxy}",
        "GIT_TERMINAL_PROMPT": "0",
    }
    prefix = () if bare else (*DEVTLS, "env", "--")
    return await run((*prefix, *client.argv(url)), {**own, **through})


@pytest.mark.parametrize("client", CLIENTS, indirect=True)
async def test_a_client_trusts_the_root_and_everything_it_trusted_before(
    client: Program, sites: Sites, own: dict[str, str]
) -> None:
    app = f"https://{APPS[0]}:{sites.served}{client.path}"
    corporate = f"https://{CORPORATE_NAME}:{sites.corporate}{client.path}"
    foreign = f"https://{FOREIGN_NAME}:{sites.foreign}{client.path}"

    before = await fetch(client, corporate, sites, own, bare=True)
    assert before.returncode == 0, before.stderr
    refused = await fetch(client, app, sites, own, bare=True)
    assert refused.returncode != 0, "it knows the root without us: this test proves nothing"

    for url in (app, app.replace(*APPS), corporate):
        accepted = await fetch(client, url, sites, own)
        assert accepted.returncode == 0, (url, accepted.stderr)
        assert client.shows in accepted.stdout

    fooled = await fetch(client, foreign, sites, own)
    assert fooled.returncode != 0, "it accepts a name outside the zones"
    assert ANSWER not in fooled.stdout


@pytest.mark.parametrize("client", ["java"], indirect=True)
async def test_java_without_options_of_its_own_keeps_the_roots_of_its_jdk(client: Program, sites: Sites) -> None:
    app = f"https://{APPS[0]}:{sites.served}{client.path}"
    accepted = await fetch(client, app, sites, {})
    assert accepted.returncode == 0, accepted.stderr
    keytool = Path(client.argv("")[0]).with_name("keytool")
    printed = await run((*DEVTLS, "env", "--json"))
    options = json.loads(printed.stdout)["JAVA_TOOL_OPTIONS"]
    store = options.partition(TRUST_STORE)[2].split()[0]
    roots: list[set[str]] = []  # a keystore may hold a certificate under two names
    for place in (("-keystore", store), ("-cacerts", "-storepass", "changeit")):
        listed = await run((str(keytool), "-list", *place), {"JAVA_TOOL_OPTIONS": ""})
        assert listed.returncode == 0, listed.stdout
        roots.append({line for line in listed.stdout.splitlines() if "(SHA-256)" in line})
    assert roots[0] > roots[1]
    assert len(roots[0]) == len(roots[1]) + 1
