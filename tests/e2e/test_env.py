"""Real clients under `devtls env --`, on a machine where no store knows the root.

Each accepts an app of `devtls serve`, goes on accepting a site of the CA that the user's own variables named before
(so trust was added, not replaced), and refuses a name outside the zones that the intermediate did sign for.
"""

from __future__ import annotations

import json
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from devtls.doctor.listener import server_context
from devtls.pki.foreign import FOREIGN_NAME, issue_foreign_probe
from devtls.pki.java_truststore import write_pkcs12
from devtls.system.clientenv.variables import NAMES
from devtls.system.keystore import Keystore, new_leaf_key, new_serial
from tests.e2e.clients import Ended, RequireTool, run
from tests.e2e.serving import DEVTLS, serving

pytestmark = pytest.mark.e2e

CORPORATE_NAME = "www.corporate.example"
APPS = ("app.dev.local", "app.localhost")
ANSWER = "it is ready"
TRUST_STORE = "-Djavax.net.ssl.trustStore="
CLIENTS = ("curl", "git", "wget", "urllib", "requests", "node", "java")

URLLIB = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=20).read().decode())"
REQUESTS = "import sys, requests; print(requests.get(sys.argv[1], timeout=20).text)"
NODE = """\
const lookup = (_name, options, done) =>
  options.all ? done(null, [{ address: "127.0.0.1", family: 4 }]) : done(null, "127.0.0.1", 4);
require("https").get(process.argv[1], { lookup, agent: false }, (answer) => answer.pipe(process.stdout))
  .on("error", (error) => { console.error(error.message); process.exit(1); });
"""
JAVA = """\
import java.net.URL;
import javax.net.ssl.HttpsURLConnection;

class Fetch {
    public static void main(String[] arguments) throws Exception {
        HttpsURLConnection connection = (HttpsURLConnection) new URL(arguments[0]).openConnection();
        System.out.println(new String(connection.getInputStream().readAllBytes()));
    }
}
"""


@dataclass(frozen=True)
class Sites:
    """Three ports that serve the same files: under our CA, under the corporate one, and forged under ours."""

    served: int
    corporate: int
    foreign: int
    proxy: int
    folder: Path


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing: the client tells how it went."""

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:  # also ssl.SSLError: a client that refuses the certificate hangs up
            self.close_connection = True


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


@contextmanager
def running(server: socketserver.TCPServer) -> Iterator[int]:
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@contextmanager
def https_site(context: ssl.SSLContext, folder: Path) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    with running(server) as port:
        yield port


class Corporation:
    """A CA as a company has one: without constraints, in no system's store."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Corporate Root")])
        self.root = self._certificate(self._name, self._key, x509.BasicConstraints(ca=True, path_length=None))
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

    def context(self, name: str, folder: Path) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.DNSName(name)])
        leaf = self._certificate(x509.Name([]), key, names, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]))
        file = folder / "corporate-leaf.pem"
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
    variables = {name: str(home / "corp.pem") for name in NAMES}
    return {**variables, "JAVA_TOOL_OPTIONS": f"-Xmx128m '{TRUST_STORE}{home / 'co rp.p12'}'"}


@pytest.fixture
async def sites(home: Path, corporation: Corporation, require_tool: RequireTool) -> AsyncIterator[Sites]:
    git = require_tool("git", "sudo apt-get install git")
    folder = home / "site"
    subprocess.run([git, "init", "--quiet", "--bare", str(folder / "repository")], check=True, capture_output=True)
    subprocess.run([git, "-C", str(folder / "repository"), "update-server-info"], check=True)
    (folder / "ready").write_text(ANSWER)
    async with serving(home, "app=./site") as proxy:
        authority = Keystore(home / "state").load(datetime.now(UTC))
        forged = issue_foreign_probe(authority, now=datetime.now(UTC), key=new_leaf_key(), serial=new_serial())
        with ExitStack() as stack:
            yield Sites(
                proxy.port,
                stack.enter_context(https_site(corporation.context(CORPORATE_NAME, home), folder)),
                stack.enter_context(https_site(server_context(forged, home), folder)),
                stack.enter_context(running(socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Tunnel))),
                folder,
            )


@dataclass(frozen=True)
class Client:
    """One program: how it fetches an address, and what it prints when it did."""

    argv: Callable[[str], tuple[str, ...]]
    path: str = "/ready"
    shows: str = ANSWER


@pytest.fixture
def client(request: pytest.FixtureRequest, home: Path, sites: Sites, require_tool: RequireTool) -> Client:
    def tool(name: str, package: str) -> str:
        return require_tool(name, f"sudo apt-get install {package}")

    match request.param:
        case "curl":
            return Client(lambda url: (tool("curl", "curl"), "--silent", "--show-error", "--max-time", "20", url))
        case "git":
            # An empty repository has no refs: success is that, and says nothing.
            return Client(lambda url: (tool("git", "git"), "ls-remote", url), "/repository", "")
        case "wget":
            return Client(partial(wget, tool("wget", "wget")))
        case "urllib":
            return Client(lambda url: (tool("python3", "python3"), "-I", "-c", URLLIB, url))
        case "requests":
            return Client(lambda url: (sys.executable, "-I", "-c", REQUESTS, url))
        case "node":
            return Client(lambda url: (tool("node", "nodejs"), "-e", NODE, url))
        case "java":
            tool("javac", "default-jdk-headless")
            java, source = tool("java", "default-jdk-headless"), home / "Fetch.java"
            source.write_text(JAVA)
            through = ("-Dhttps.proxyHost=127.0.0.1", f"-Dhttps.proxyPort={sites.proxy}")
            return Client(lambda url: (java, *through, str(source), url))
        case _:
            raise ValueError(request.param)


def wget(tool: str, url: str) -> tuple[str, ...]:
    """Return wget's command; built with GnuTLS, as Debian's is, it knows no variable and has to be told the bundle."""
    version = subprocess.run([tool, "--version"], capture_output=True, text=True, check=True).stdout
    fetch = (tool, "--quiet", "--no-verbose", "--tries=1", "--timeout=20", "--output-document=-", url)
    if "+ssl/openssl" in version:
        return fetch
    return ("/bin/sh", "-c", 'exec "$@" ${SSL_CERT_FILE:+--ca-certificate="$SSL_CERT_FILE"}', "sh", *fetch)


async def fetch(client: Client, url: str, sites: Sites, own: Mapping[str, str], *, bare: bool = False) -> Ended:
    through = {"https_proxy": f"http://127.0.0.1:{sites.proxy}", "GIT_TERMINAL_PROMPT": "0"}
    prefix = () if bare else (*DEVTLS, "env", "--")
    return await run((*prefix, *client.argv(url)), {**own, **through})


@pytest.mark.parametrize("client", CLIENTS, indirect=True)
async def test_a_client_trusts_the_root_and_everything_it_trusted_before(
    client: Client, sites: Sites, own: dict[str, str]
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
async def test_java_without_options_of_its_own_keeps_the_roots_of_its_jdk(client: Client, sites: Sites) -> None:
    app = f"https://{APPS[0]}:{sites.served}{client.path}"
    accepted = await fetch(client, app, sites, {})
    assert accepted.returncode == 0, accepted.stderr
    keytool = Path(client.argv("")[0]).with_name("keytool")
    printed = await run((*DEVTLS, "env", "--json"))
    options = json.loads(printed.stdout)["JAVA_TOOL_OPTIONS"]
    store = options.partition(TRUST_STORE)[2].split()[0]
    counts = []
    for place in (("-keystore", store), ("-cacerts", "-storepass", "changeit")):
        listed = await run((str(keytool), "-list", *place), {"JAVA_TOOL_OPTIONS": ""})
        assert listed.returncode == 0, listed.stdout
        counts.append(listed.stdout.count("trustedCertEntry"))
    assert counts[0] == counts[1] + 1
