"""nginx and Apache with the files of `devtls cert`, curl with the root and both revocation lists."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from devtls.names import DEFAULT_ZONES
from devtls.system.keystore import Keystore
from tests.conftest import RequireTool
from tests.e2e.clients import Ended, run
from tests.e2e.other_servers import ANSWER, SERVERS, server_command
from tests.e2e.serving import DEVTLS, export_root, free_port, running

pytestmark = pytest.mark.e2e

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


@pytest.mark.parametrize("key_type", ["ecdsa", "rsa"])
@pytest.mark.parametrize("server", SERVERS)
async def test_curl_accepts_a_certificate_until_it_is_revoked(
    home: Path, server: str, key_type: str, require_tool: RequireTool
) -> None:
    await devtls("cert", NAME, "--out", str(home), "--key-type", key_type)
    port = free_port()
    files = (home / f"{NAME}.pem", home / f"{NAME}-key.pem")
    argv = server_command(server, home, port, files, require_tool)
    async with running(argv, folder=home, port=port):
        accepted = await curl(home, port, require_tool)
        assert (accepted.returncode, accepted.stdout.strip()) == (0, ANSWER), accepted.stderr


README = (Path(__file__).parents[2] / "README.md").read_text()


async def test_the_recipe_with_a_request_works_as_printed(home: Path, require_tool: RequireTool) -> None:
    openssl = require_tool("openssl", "apt-get install openssl")
    recipe = README.partition("<!-- csr -->")[2].partition("<!-- /csr -->")[0]
    script = recipe.strip().removeprefix("```sh").removesuffix("```")
    here = f"PATH={Path(sys.executable).parent}:{Path(openssl).parent}:$PATH; cd {home}\n"
    done = await run(["/bin/sh", "-euc", here + script])
    assert done.returncode == 0, done.stderr
    assert "For queue.dev.local, until" in done.stderr
    await devtls("ca", "export", "--out", str(home / "root.pem"))
    chain = ["-CAfile", "root.pem", "-untrusted", "queue.pem", "-verify_hostname", "queue.dev.local", "queue.pem"]
    verified = await run(["/bin/sh", "-euc", f"cd {home}; {openssl} verify -x509_strict {' '.join(chain)}"])
    assert verified.stdout == "queue.pem: OK\n", verified.stderr
