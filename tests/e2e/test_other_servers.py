"""nginx and Apache with the files of `devtls cert`, curl with the root and both revocation lists."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import pytest

from devtls.names import DEFAULT_ZONES
from devtls.system.storage.keystore import Keystore
from tests.conftest import RequireTool
from tests.e2e.clients import Ended, run
from tests.e2e.other_servers import ANSWER, SERVERS, server_command
from tests.e2e.serving import DEVTLS, export_root, running, serving
from tests.e2e.waiting import until
from tests.locks import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.engines]

NAME = "db.dev.local"


@pytest.fixture(autouse=True)
def authority(home: Path) -> None:
    Keystore(home / "state").create(DEFAULT_ZONES, datetime.now(UTC))


async def devtls(*argv: str) -> str:
    done = await run([*DEVTLS, *argv])
    assert done.returncode == 0, done.stderr
    return done.stdout


async def curl(home: Path, port: int, require_tool: RequireTool) -> Ended:
    tool = require_tool("curl", "apt-get install curl")
    lists = home / "crls.pem"
    await devtls("ca", "export", "--crl", "--out", str(lists))
    options = ["--silent", "--show-error", "--max-time", "20", "--resolve", f"{NAME}:{port}:127.0.0.1"]
    trust = ["--cacert", str(export_root(home)), "--crlfile", str(lists)]
    return await run([tool, *options, *trust, f"https://{NAME}:{port}/"])


@pytest.mark.parametrize("server", SERVERS)
async def test_curl_accepts_a_certificate_with_an_rsa_key(home: Path, server: str, require_tool: RequireTool) -> None:
    await devtls("cert", NAME, "--out", str(home), "--key-type", "rsa")
    port = free_port()
    files = (home / f"{NAME}.pem", home / f"{NAME}-key.pem")
    async with running(server_command(server, home, port, files, require_tool), directory=home, port=port):
        accepted = await curl(home, port, require_tool)
        assert (accepted.returncode, accepted.stdout.strip()) == (0, ANSWER), accepted.stderr


@pytest.mark.parametrize("server", SERVERS)
async def test_curl_accepts_a_certificate_until_it_is_revoked(
    home: Path, server: str, require_tool: RequireTool
) -> None:
    await devtls("cert", NAME, "--out", str(home))
    port = free_port()
    files = (home / f"{NAME}.pem", home / f"{NAME}-key.pem")
    argv = server_command(server, home, port, files, require_tool)
    async with running(argv, directory=home, port=port):
        accepted = await curl(home, port, require_tool)
        assert (accepted.returncode, accepted.stdout.strip()) == (0, ANSWER), accepted.stderr
        await devtls("revoke", str(files[0]), "--reason", "hold")
        refused = await curl(home, port, require_tool)
        assert refused.returncode != 0
        assert "certificate revoked" in refused.stderr
        await devtls("unrevoke", NAME)
        assert (await curl(home, port, require_tool)).returncode == 0
        await devtls("revoke", NAME)
        assert "certificate revoked" in (await curl(home, port, require_tool)).stderr


async def staples(port: int, what: str, require_tool: RequireTool) -> None:
    """Shake hands until a server says this of its own certificate: it asks the responder once a client came."""
    tool = require_tool("openssl", "apt-get install openssl")
    argv, deadline = (
        [tool, "s_client", "-connect", f"127.0.0.1:{port}", "-servername", NAME, "-status"],
        monotonic() + 15,
    )
    while what not in (said := (await run(argv)).stdout):
        assert monotonic() < deadline, said


@pytest.mark.parametrize("server", SERVERS)
async def test_a_server_staples_what_the_responder_says(home: Path, server: str, require_tool: RequireTool) -> None:
    project, files = home / "project", (home / f"{NAME}.pem", home / f"{NAME}-key.pem")
    project.mkdir()
    (project / "devtls.toml").write_text("[ca]\nocsp = true\n[routes]\napp = 9\n")
    async with serving(home, directory=project):
        done = await run(
            ["/bin/sh", "-c", 'cd "$0" && exec "$@"', str(project), *DEVTLS, "cert", NAME, "--out", str(home)]
        )
        assert done.returncode == 0, done.stderr
        port = free_port()
        argv = server_command(server, home, port, files, require_tool, stapling=True)
        async with running(argv, directory=home, port=port):
            await staples(port, "Cert Status: good", require_tool)
        await devtls("revoke", NAME)
        async with running(argv, directory=home, port=port):
            if server == "apache2":
                await staples(port, "Cert Status: revoked", require_tool)
            else:  # it hands on good news alone, and writes the other kind into its log
                await staples(port, "no response sent", require_tool)
                log = home / "nginx.log"
                await until(
                    lambda: 'certificate status "revoked" in the OCSP response' in log.read_text(), log.read_text
                )


async def test_nginx_asks_clients_and_refuses_those_that_were_revoked(home: Path, require_tool: RequireTool) -> None:
    tool = require_tool("curl", "apt-get install curl")
    for name in ("alice", "bob"):
        await devtls("cert", f"{name}.dev.local", "--client", "--out", str(home))
    await devtls("cert", NAME, "--out", str(home))
    await devtls("revoke", "bob.dev.local")
    await devtls("ca", "export", "--crl", "--out", str(home / "crls.pem"))
    root, port = export_root(home), free_port()
    files = (home / f"{NAME}.pem", home / f"{NAME}-key.pem")
    clients = f"ssl_verify_client on; ssl_verify_depth 2; ssl_client_certificate {root}; ssl_crl {home}/crls.pem;"
    argv = server_command("nginx", home, port, files, require_tool, more=clients)
    start = [tool, "--silent", "--show-error", "--max-time", "20", "--cacert", str(root)]
    start += ["--resolve", f"{NAME}:{port}:127.0.0.1", f"https://{NAME}:{port}/"]
    async with running(argv, directory=home, port=port):
        said = {}
        for name in ("alice", "bob"):
            own = ["--cert", f"{home}/{name}.dev.local.pem", "--key", f"{home}/{name}.dev.local-key.pem"]
            said[name] = (await run([*start, *own])).stdout
    assert said["alice"].strip() == f"{ANSWER} SUCCESS CN=alice.dev.local"
    assert "400" in said["bob"]
    assert ANSWER not in said["bob"]


PAGE = (Path(__file__).parents[2] / "docs/how-to/certificates.md").read_text()


async def test_the_recipe_with_a_request_works_as_printed(home: Path, require_tool: RequireTool) -> None:
    openssl = require_tool("openssl", "apt-get install openssl")
    recipe = PAGE.partition("<!-- csr -->")[2].partition("<!-- /csr -->")[0]
    script = recipe.strip().removeprefix("```sh").removesuffix("```")
    here = f"PATH={Path(sys.executable).parent}:{Path(openssl).parent}:$PATH; cd {home}\n"
    done = await run(["/bin/sh", "-euc", here + script])
    assert done.returncode == 0, done.stderr
    assert "For queue.dev.local, until" in done.stderr
    await devtls("ca", "export", "--out", str(home / "root.pem"))
    chain = ["-CAfile", "root.pem", "-untrusted", "queue.pem", "-verify_hostname", "queue.dev.local", "queue.pem"]
    verified = await run(["/bin/sh", "-euc", f"cd {home}; {openssl} verify -x509_strict {' '.join(chain)}"])
    assert verified.stdout == "queue.pem: OK\n", verified.stderr
