"""`devtls check` beside a real `devtls serve` in a fresh home: before trust, after it, for names it does not serve."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from devtls.errors import ExitCode
from tests.conftest import RequireTool
from tests.e2e.clients import run
from tests.e2e.serving import DEVTLS, Serving, serving

pytestmark = pytest.mark.e2e

NAME = "app.dev.local"


@pytest_asyncio.fixture
async def proxy(home: Path) -> AsyncIterator[Serving]:
    async with serving(home, "app=3000") as running:
        yield running


async def check(address: str, *arguments: str) -> tuple[int, str]:
    done = await run((*DEVTLS, "check", address, "--connect", "127.0.0.1", *arguments))
    return done.returncode, " ".join((done.stdout + done.stderr).split())


async def check_json(address: str, *arguments: str) -> dict[str, Any]:
    done = await run((*DEVTLS, "check", address, "--connect", "127.0.0.1", "--json", *arguments))
    values: dict[str, Any] = json.loads(done.stdout)
    return values


async def test_before_and_after_trust(proxy: Serving, require_tool: RequireTool) -> None:
    require_tool("certutil", "apt-get install libnss3-tools")
    address = f"https://{NAME}:{proxy.port}"
    code, said = await check(address)
    assert code == ExitCode.FAILED, said
    assert "✗ Issuer It goes back to devtls root " in said
    assert "which no store of this machine trusts." in said
    assert "✓ Dates" in said
    assert f"✓ Name The certificate is for {NAME}." in said
    assert "✓ Signatures All 2 signatures hold: " in said
    assert "What to do: - devtls trust puts the root into the stores of this machine" in said

    trusted = await run((*DEVTLS, "trust", "--yes", "--store", "nss"))
    assert trusted.returncode == 0, trusted.stderr
    code, said = await check(address)
    assert code == ExitCode.OK, said
    assert "is trusted by Chromium and Chrome (~/.local/share/pki/nssdb)." in said
    assert said.count("✓ Revocation") == 2
    assert "✓ Verifiers OpenSSL and cryptography accept it as well." in said
    assert said.endswith("A browser opens this address without a warning.")
    stores = {store["kind"]: store["trusts"] for store in (await check_json(address))["stores"]}
    assert (stores["browser"], stores["system"]) == (True, False)


async def test_with_the_exported_root_it_is_fine_without_trust(proxy: Serving) -> None:
    code, said = await check(f"{NAME}:{proxy.port}", "--ca", str(proxy.root))
    assert code == ExitCode.OK, said
    assert f"counts as trusted, as asked with --ca: {proxy.root}." in said


async def test_a_name_outside_the_zones(proxy: Serving) -> None:
    code, said = await check(f"shop.example.com:{proxy.port}")
    assert code == ExitCode.NO_CONNECTION, said
    assert "answered with the alert unrecognized_name" in said
    assert "its CA speaks for dev.local, localhost, test alone, and shop.example.com is outside" in said
    assert "devtls ca renew --zone shop.example.com" in said


async def test_a_browser_without_the_root_among_others_is_named(
    proxy: Serving, home: Path, require_tool: RequireTool
) -> None:
    certutil = require_tool("certutil", "apt-get install libnss3-tools")
    assert (await run((*DEVTLS, "trust", "--yes", "--store", "nss"))).returncode == 0
    profile = home / ".mozilla/firefox/new.default"
    profile.mkdir(parents=True)
    made = await run((certutil, "-N", "-d", f"sql:{profile}", "--empty-password"))
    assert made.returncode == 0, made.stderr
    code, said = await check(f"{NAME}:{proxy.port}")
    assert code == ExitCode.FAILED, said
    assert "nssdb), but not by Firefox profile (~/.mozilla/firefox/new.default)." in said
    assert "it comes from an unknown issuer for Firefox profile" in said


async def test_a_ca_that_was_made_anew_is_told_from_the_one_that_serves(proxy: Serving) -> None:
    assert (await run((*DEVTLS, "untrust", "--yes", "--forget"))).returncode == 0
    code, said = await check(f"{NAME}:{proxy.port}")
    assert code == ExitCode.FAILED, said
    assert "devtls CA of another machine or user" in said


async def test_an_address_without_a_name_gets_the_certificate_for_those(proxy: Serving) -> None:
    code, said = await check(f"127.0.0.1:{proxy.port}", "--ca", str(proxy.root))
    assert code == ExitCode.OK, said
    assert "✓ Name The certificate is for the address 127.0.0.1." in said
