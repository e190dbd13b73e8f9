"""Other ACME clients than certbot and Caddy: lego (Traefik's and others' engine), and dehydrated, a shell script."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509

from tests.conftest import RequireTool
from tests.e2e.https_site import in_thread
from tests.e2e.test_acme import NAME, Place, acme, shows_revoked

pytestmark = [pytest.mark.engines, pytest.mark.e2e, pytest.mark.may_block]


def lego(place: Place, tool: str, challenge: Sequence[str], *command: str) -> list[str]:
    folder = str(place.home / "lego")
    account = ["--server", place.directory, "--accept-tos", "--email", "me@dev.local", "--path", folder]
    return [tool, *account, *challenge, "--domains", NAME, *command]


def written(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificates(path.read_bytes())[0]


@pytest.mark.parametrize("kind", ["http", "tls"])
async def test_lego_gets_renews_and_revokes(home: Path, kind: str, require_tool: RequireTool) -> None:
    tool = require_tool("lego", "apt-get install lego")
    async with acme(home, f"{kind}_port = {kind.upper()}_PORT") as place:
        port = place.http_port if kind == "http" else place.tls_port
        env = {"LEGO_CA_CERTIFICATES": str(place.serve.root)}
        run = partial(place.run, env=env)
        act = partial(lego, place, tool, [f"--{kind}", f"--{kind}.port", f"127.0.0.1:{port}"])
        await run(act("run"))
        file = place.home / f"lego/certificates/{NAME}.crt"
        first = written(file)
        await run(act("renew", "--days", "3650", "--no-random-sleep"))
        second = written(file)
        assert second.serial_number != first.serial_number
        await run(act("revoke", "--reason", "4"))
        one, two = await place.register()
        assert (one["state"], two["state"], two["reason"]) == ("valid", "revoked", "superseded")
        await asyncio.to_thread(shows_revoked, second)


async def test_dehydrated_gets_renews_and_revokes(home: Path, require_tool: RequireTool) -> None:
    tool = require_tool("dehydrated", "apt-get install dehydrated")
    proofs, folder = home / "proofs", home / "dehydrated"
    served = proofs / ".well-known/acme-challenge"
    for each in (served, folder):
        each.mkdir(parents=True)
    handler = partial(SimpleHTTPRequestHandler, directory=str(proofs))
    with in_thread(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as port:
        async with acme(home, routes=f"web = {port}") as place:
            settings = {"CA": place.directory, "BASEDIR": folder, "WELLKNOWN": served, "KEY_ALGO": "prime256v1"}
            config = folder / "config"
            config.write_text("".join(f'{name}="{value}"\n' for name, value in settings.items()))
            run = partial(place.run, env={"CURL_CA_BUNDLE": str(place.serve.root)})
            act = [tool, "--config", str(config)]
            await run([*act, "--register", "--accept-terms"])
            await run([*act, "--cron", "--domain", NAME])
            file = folder / f"certs/{NAME}/cert.pem"
            first = written(file)
            await run([*act, "--cron", "--domain", NAME, "--force"])
            second = written(file)
            assert second.serial_number != first.serial_number
            await run([*act, "--revoke", str(file.resolve())])
            assert [one["state"] for one in await place.register()] == ["valid", "revoked"]
            await asyncio.to_thread(shows_revoked, second)
