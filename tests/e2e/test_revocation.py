"""What programs that look at revocation make of a running proxy: its lists, its OCSP, a name that was revoked."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conftest import RequireTool
from tests.e2e.clients import Ended, run
from tests.e2e.serving import DEVTLS, Serving, serving

pytestmark = pytest.mark.e2e

NAME = "db.dev.local"


async def devtls(*argv: str) -> str:
    done = await run([*DEVTLS, *argv])
    assert done.returncode == 0, done.stderr
    return done.stdout


async def sh(directory: Path, *argv: str) -> Ended:
    return await run(["/bin/sh", "-c", 'cd "$0" && exec "$@"', str(directory), *argv])


@pytest.fixture
async def directory(home: Path) -> AsyncIterator[Path]:
    """A project with a proxy that runs, a certificate that names the responder, and what a verifier wants as files."""
    project = home / "project"
    project.mkdir()
    (project / "devtls.toml").write_text("[ca]\nocsp = true\n[routes]\napp = 9\n")
    async with serving(home, directory=project) as proxy:
        (project / "root.pem").write_bytes(proxy.root.read_bytes())
        for argv in (
            ("ca", "export", "--intermediate", "--out", f"{project}/intermediate.pem"),
            ("ca", "export", "--crl", "--out", f"{project}/crls.pem"),
        ):
            await devtls(*argv)
        assert (await sh(project, *DEVTLS, "cert", NAME)).returncode == 0
        yield project


async def base() -> str:
    return f"http://127.0.0.1:{json.loads(await devtls('ca', '--json'))['pki_port']}"


async def list_at_its_address(directory: Path) -> Path:
    url = json.loads(await devtls("ca", "--json"))["intermediate_crl"]
    with await asyncio.to_thread(urllib.request.urlopen, url) as answer:
        (directory / "fetched.crl").write_bytes(answer.read())
    return directory / "fetched.crl"


async def test_openssl_reads_list_and_status(directory: Path, require_tool: RequireTool) -> None:
    openssl = require_tool("openssl", "apt-get install openssl")
    ask = ["ocsp", "-issuer", "intermediate.pem", "-cert", f"{NAME}.pem", "-url", f"{await base()}/ocsp"]
    ask += ["-CAfile", "root.pem"]
    for revoked in (False, True):
        if revoked:
            await devtls("revoke", NAME, "--reason", "key-compromise")
        for nonce in ("-nonce", "-no_nonce"):
            done = await sh(directory, openssl, *ask, nonce)
            assert "Response verify OK" in done.stderr, done.stderr
            assert f"{NAME}.pem: {'revoked' if revoked else 'good'}" in done.stdout
            assert "WARNING" not in done.stderr
            assert ("Reason: keyCompromise" in done.stdout) == revoked
        file = await list_at_its_address(directory)
        done = await sh(
            directory, openssl, "crl", "-inform", "DER", "-in", str(file), "-text", "-CAfile", "intermediate.pem"
        )
        assert "verify OK" in done.stderr
        assert ("Key Compromise" in done.stdout) == revoked


async def test_openssl_is_told_unknown_and_malformed(directory: Path, require_tool: RequireTool) -> None:
    openssl = require_tool("openssl", "apt-get install openssl")
    ask = ["ocsp", "-issuer", "intermediate.pem", "-url", f"{await base()}/ocsp", "-CAfile", "root.pem"]
    unknown = await sh(directory, openssl, *ask, "-serial", "0x1234")
    assert "0x1234: unknown" in unknown.stdout
    several = await sh(directory, openssl, *ask, "-serial", "0x1234", "-serial", "0x1235")
    assert "malformedrequest" in several.stdout + several.stderr
    foreign = [*ask[:2], "root.pem", *ask[3:], "-serial", "0x1234"]
    assert "unauthorized" in (await sh(directory, openssl, *foreign)).stdout


async def test_gnutls_asks_for_the_status(directory: Path, require_tool: RequireTool) -> None:
    tool = require_tool("ocsptool", "apt-get install gnutls-bin")
    files = ["--load-cert", f"{NAME}.pem", "--load-issuer", "intermediate.pem", "--load-signer", "intermediate.pem"]
    for revoked in (False, True):
        if revoked:
            await devtls("revoke", NAME)
        done = await sh(directory, tool, f"--ask={await base()}/ocsp", *files)
        assert f"Certificate Status: {'revoked' if revoked else 'good'}" in done.stdout, done.stdout + done.stderr
        assert "Verifying OCSP Response: Success" in done.stdout + done.stderr


async def test_nss_asks_for_the_status(directory: Path, require_tool: RequireTool) -> None:
    certutil = require_tool("certutil", "apt-get install libnss3-tools")
    vfychain = require_tool("vfychain", "apt-get install libnss3-tools")
    database = ["-d", f"sql:{directory}"]
    await sh(directory, certutil, *database, "-N", "--empty-password")
    await sh(directory, certutil, *database, "-A", "-n", "root", "-t", "C,,", "-a", "-i", "root.pem")
    only_ocsp = ["-pp", "-u", "1", "-g", "leaf", "-m", "ocsp", "-s", "requireFreshInfo"]
    ask = (vfychain, *database, *only_ocsp, "-a", f"{NAME}.pem", "intermediate.pem")
    good = await sh(directory, *ask)
    assert "Chain is good!" in good.stdout + good.stderr
    await devtls("revoke", NAME)
    bad = await sh(directory, *ask)
    assert "has been revoked" in bad.stdout + bad.stderr


async def test_nss_takes_the_list_from_its_address_and_refuses(directory: Path, require_tool: RequireTool) -> None:
    certutil = require_tool("certutil", "apt-get install libnss3-tools")
    crlutil = require_tool("crlutil", "apt-get install libnss3-tools")
    await devtls("revoke", NAME)
    database = ["-d", f"sql:{directory}"]
    for argv in (
        (certutil, *database, "-N", "--empty-password"),
        (certutil, *database, "-A", "-n", "root", "-t", "C,,", "-a", "-i", "root.pem"),
        (certutil, *database, "-A", "-n", "intermediate", "-t", ",,", "-a", "-i", "intermediate.pem"),
        (certutil, *database, "-A", "-n", "leaf", "-t", ",,", "-a", "-i", f"{NAME}.pem"),
    ):
        assert (await sh(directory, *argv)).returncode == 0, argv
    verify = (certutil, *database, "-V", "-n", "leaf", "-u", "V")
    assert "is valid" in (await sh(directory, *verify)).stdout
    done = await sh(directory, crlutil, *database, "-I", "-i", str(await list_at_its_address(directory)))
    assert done.returncode == 0, done.stderr
    said = await sh(directory, *verify)
    assert "revoked" in (said.stdout + said.stderr).lower()


_JAVA = """\
import java.io.FileInputStream;
import java.security.cert.*;
import java.util.*;

class Ask {
    public static void main(String[] arguments) throws Exception {
        CertificateFactory factory = CertificateFactory.getInstance("X.509");
        FileInputStream file = new FileInputStream(arguments[0]);
        List<? extends Certificate> chain = new ArrayList<>(factory.generateCertificates(file));
        Certificate root = factory.generateCertificate(new FileInputStream("root.pem"));
        CertPathValidator validator = CertPathValidator.getInstance("PKIX");
        PKIXRevocationChecker checker = (PKIXRevocationChecker) validator.getRevocationChecker();
        Set<PKIXRevocationChecker.Option> options = EnumSet.of(PKIXRevocationChecker.Option.NO_FALLBACK);
        if (arguments[1].equals("crl")) options.add(PKIXRevocationChecker.Option.PREFER_CRLS);
        if (arguments[1].equals("ocsp")) options.add(PKIXRevocationChecker.Option.ONLY_END_ENTITY);
        checker.setOptions(options);
        PKIXParameters parameters = new PKIXParameters(Set.of(new TrustAnchor((X509Certificate) root, null)));
        parameters.setRevocationEnabled(true);
        parameters.addCertPathChecker(checker);
        validator.validate(factory.generateCertPath(chain), parameters);
        System.out.println("accepted");
    }
}
"""


@pytest.mark.parametrize("way", ["crl", "ocsp"])
async def test_java_fetches_what_the_certificate_names(directory: Path, way: str, require_tool: RequireTool) -> None:
    java = require_tool("java", "apt-get install default-jdk-headless")
    require_tool("javac", "apt-get install default-jdk-headless")
    (directory / "Ask.java").write_text(_JAVA)
    ask = (java, "-Dcom.sun.security.enableCRLDP=true", "Ask.java", f"{NAME}.pem", way)
    accepted = await sh(directory, *ask)
    assert accepted.stdout == "accepted\n", accepted.stderr
    await devtls("revoke", NAME, "--reason", "key-compromise")
    refused = await sh(directory, *ask)
    assert refused.returncode != 0
    assert "has been revoked, reason: KEY_COMPROMISE" in refused.stderr


async def test_a_running_proxy_shows_a_revoked_name_with_another_key(home: Path) -> None:
    async with serving(home, "app=9") as proxy:
        before, other = await shown(proxy, "app.localhost"), await shown(proxy, "other.localhost")
        said = json.loads(await devtls("revoke", "app.localhost", "--json"))
        assert said["dropped"] == ["app.localhost"]
        assert await shown(proxy, "app.localhost") != before
        assert await shown(proxy, "other.localhost") == other


async def shown(proxy: Serving, name: str) -> str:
    """Return what a client sees."""

    def connect() -> str:
        with (
            socket.create_connection(("127.0.0.1", proxy.port), timeout=20) as plain,
            proxy.context().wrap_socket(plain, server_hostname=name) as secured,
        ):
            certificate = secured.getpeercert(binary_form=True)
        assert certificate is not None
        return ssl.DER_cert_to_PEM_cert(certificate)

    return await asyncio.to_thread(connect)


async def test_commands_at_the_same_time_lose_no_revocation(home: Path) -> None:
    async with serving(home, "app=9"):
        names = [f"n{number}.dev.local" for number in range(4)]
        for name in names:
            await devtls("cert", name, "--out", str(home))
        await asyncio.gather(*(devtls("revoke", name) for name in names))
        states = {one["names"][0]: one["state"] for one in json.loads(await devtls("certs", "list", "--json"))}
        assert states == dict.fromkeys(names, "revoked")


async def test_a_client_that_was_revoked_is_refused_at_once(home: Path, require_tool: RequireTool) -> None:
    curl = require_tool("curl", "apt-get install curl")
    (home / "site").mkdir()
    (home / "site" / "index.html").write_text("it is ready")
    config = home / "devtls.toml"
    config.write_text('[routes]\nsafe = { static = "site", client_auth = "require" }\n')
    async with serving(home, "--config", str(config)) as proxy:
        start = [curl, "--silent", "--show-error", "--max-time", "20", "--cacert", str(proxy.root)]
        start += ["--resolve", f"safe.dev.local:{proxy.port}:127.0.0.1"]
        for name in ("alice", "bob"):
            await devtls("cert", f"{name}.dev.local", "--client", "--out", str(home))

        async def fetched(name: str) -> Ended:
            own = ["--cert", f"{home}/{name}.dev.local.pem", "--key", f"{home}/{name}.dev.local-key.pem"]
            return await run([*start, *own, proxy.url("safe.dev.local")])

        for name in ("alice", "bob"):
            assert (await fetched(name)).stdout == "it is ready", (await fetched(name)).stderr
        await devtls("revoke", "bob.dev.local", "--reason", "hold")
        assert (await fetched("bob")).returncode != 0
        assert (await fetched("alice")).stdout == "it is ready"
        await devtls("unrevoke", "bob.dev.local")
        assert (await fetched("bob")).stdout == "it is ready"
