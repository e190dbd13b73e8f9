"""The PKCS #12 files of `devtls cert --p12` before the programs that people have: OpenSSL, NSS (browsers), Java."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from devtls.names import DEFAULT_ZONES
from devtls.system.storage.keystore import Keystore
from tests.conftest import RequireTool
from tests.e2e.clients import Ended, run

pytestmark = pytest.mark.e2e

PASSPHRASE = "ganz geheim"
NAME = "alice.dev.local"


@pytest.fixture(params=["ecdsa", "rsa"])
def file(home: Path, request: pytest.FixtureRequest) -> Path:
    """Make one, the passphrase on a descriptor."""
    Keystore(home / "state").create(DEFAULT_ZONES, datetime.now(UTC))
    options = f"--client --p12 --password-fd 3 --key-type {request.param} --out {home}"
    line = f'exec "{sys.executable}" -m devtls cert {NAME} {options} 3<<END\n{PASSPHRASE}\nEND\n'
    subprocess.run(["/bin/sh", "-c", line], check=True, capture_output=True, timeout=60)
    return home / f"{NAME}.p12"


async def output_of(*argv: str) -> Ended:
    done = await run(argv)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


async def test_openssl_opens_it(file: Path, require_tool: RequireTool) -> None:
    openssl = require_tool("openssl", "apt-get install openssl")
    done = await output_of(openssl, "pkcs12", "-in", str(file), "-passin", f"pass:{PASSPHRASE}", "-nodes")
    assert done.stdout.count("BEGIN CERTIFICATE") == 2
    assert "BEGIN PRIVATE KEY" in done.stdout
    assert f"CN = {NAME}" in done.stdout
    wrong = await run([openssl, "pkcs12", "-in", str(file), "-passin", "pass:other", "-nodes"])
    assert wrong.returncode != 0


async def test_nss_imports_it(file: Path, home: Path, require_tool: RequireTool) -> None:
    certutil = require_tool("certutil", "apt-get install libnss3-tools")
    pk12util = require_tool("pk12util", "apt-get install libnss3-tools")
    database = ["-d", f"sql:{home}"]
    await output_of(certutil, *database, "-N", "--empty-password")
    await output_of(pk12util, *database, "-i", str(file), "-W", PASSPHRASE)
    listed = (await output_of(certutil, *database, "-L")).stdout
    assert any(line.split() == [NAME, "u,u,u"] for line in listed.splitlines())


async def test_java_opens_it(file: Path, require_tool: RequireTool) -> None:
    keytool = require_tool("keytool", "apt-get install default-jre-headless")
    done = await output_of(keytool, "-list", "-keystore", str(file), "-storepass", PASSPHRASE)
    assert f"{NAME}, " in done.stdout
    assert "PrivateKeyEntry" in done.stdout
