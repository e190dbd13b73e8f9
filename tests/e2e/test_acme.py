"""certbot and Caddy get, renew and revoke certificates from `devtls serve`, as they do from any other CA."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509

from devtls.pki.register import serial_text
from tests.e2e.serving import DEVTLS, Program, ProgramFailed, Serving, running, serving
from tests.e2e.waiting import until
from tests.locks import free_port

pytestmark = [pytest.mark.engines, pytest.mark.e2e, pytest.mark.may_block]

BIN = Path(sys.executable).parent
NAME = "web.dev.local"


@dataclass(frozen=True)
class Place:
    """A proxy with an ACME server; clients reach it by its name, over the port that the PAC file names."""

    serve: Serving
    home: Path
    http_port: int
    tls_port: int
    env: Mapping[str, str]

    @property
    def directory(self) -> str:
        return self.serve.url("acme.dev.local", "/directory")

    async def run(self, argv: Sequence[str], env: Mapping[str, str] | None = None) -> str:
        environment = {**self.env, **(env or {})}
        done = await asyncio.to_thread(
            subprocess.run, argv, env=environment, capture_output=True, text=True, timeout=90, check=False
        )
        if done.returncode:
            raise ProgramFailed(f"{argv[0]}: {done.stdout}{done.stderr}\n{self.serve.program.output()[-3000:]}")
        return str(done.stdout)

    async def register(self) -> list[dict[str, object]]:
        """Return what `devtls certs list` knows."""
        return list(json.loads(await self.run([*DEVTLS, "certs", "list", "--json"])))


@asynccontextmanager
async def acme(home: Path, settings: str = "", routes: str = "") -> AsyncIterator[Place]:
    http_port, tls_port, pac_port = free_port(), free_port(), free_port()
    text = (
        f"[pac]\nport = {pac_port}\n[dns]\nport = {free_port()}\n[acme]\nenabled = true\n{settings}\n[routes]\n{routes}"
    )
    text = text.replace("HTTP_PORT", str(http_port)).replace("TLS_PORT", str(tls_port))
    (home / "devtls.toml").write_text(text)
    async with serving(home, "--config", str(home / "devtls.toml"), "-v") as serve:
        await until(lambda: "Browsers may use" in serve.program.output(), serve.program.output)
        proxy = f"http://127.0.0.1:{pac_port}"
        env = {**os.environ, "HTTPS_PROXY": proxy, "REQUESTS_CA_BUNDLE": str(serve.root)}
        yield Place(serve, home, http_port, tls_port, env)


def certbot(place: Place, *arguments: str) -> list[str]:
    directories = [f"--{name}-dir={place.home / name}" for name in ("config", "work", "logs")]
    return [str(BIN / "certbot"), *arguments, "--non-interactive", *directories]


def certonly(place: Place, *names: str, more: Sequence[str] = ()) -> list[str]:
    return certbot(
        place,
        "certonly",
        "--standalone",
        f"--http-01-port={place.http_port}",
        f"--server={place.directory}",
        "--agree-tos",
        "--register-unsafely-without-email",
        *(f"--domain={name}" for name in names),
        *more,
    )


def chain_of(place: Place, name: str = NAME) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates((place.home / f"config/live/{name}/fullchain.pem").read_bytes())


async def test_certbot_gets_renews_and_revokes(home: Path) -> None:
    async with acme(home, "http_port = HTTP_PORT") as place:
        await place.run(certonly(place, NAME, "api.test"))
        first, intermediate = chain_of(place)
        assert first.issuer == intermediate.subject
        names = first.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert set(names.get_values_for_type(x509.DNSName)) == {NAME, "api.test"}
        openssl = ["openssl", "verify", "-x509_strict", "-CAfile", str(place.serve.root), "-untrusted"]
        files = [str(place.home / f"config/live/{NAME}/{file}.pem") for file in ("chain", "cert")]
        assert files[1] in await place.run([*openssl, *files])
        await place.run(certbot(place, "renew", "--force-renewal", "--no-random-sleep-on-renew"))
        second = chain_of(place)[0]
        assert second.serial_number != first.serial_number
        await place.run(
            certbot(place, "revoke", f"--cert-name={NAME}", "--reason=superseded", f"--server={place.directory}")
        )
        one, two = await place.register()
        assert (one["by"], one["state"], two["state"], two["reason"]) == ("acme", "valid", "revoked", "superseded")
        await asyncio.to_thread(shows_revoked, second)
        await place.run([*DEVTLS, "revoke", NAME, "--reason", "key-compromise"])
        assert [each["reason"] for each in await place.register()] == ["key-compromise", "superseded"]
        await asyncio.to_thread(shows_revoked, first)


def shows_revoked(certificate: x509.Certificate) -> None:
    """What the list says, where the certificate says that it is."""
    import urllib.request

    points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    full_name = points[0].full_name
    assert full_name is not None
    with urllib.request.urlopen(full_name[0].value, timeout=10) as answer:
        crl = x509.load_der_x509_crl(answer.read())
    assert crl.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None


async def test_a_key_revokes_its_certificate_and_an_account_outlives_a_restart(home: Path) -> None:
    async with acme(home, "http_port = HTTP_PORT") as place:
        await place.run(certonly(place, NAME))
        live = place.home / f"config/live/{NAME}"
        copy = place.home / "copy"
        copy.mkdir()
        for file in ("cert.pem", "privkey.pem"):
            (copy / file).write_bytes((live / file).read_bytes())
        mode = (place.home / "state/acme.json").stat().st_mode & 0o777
        assert mode == 0o600
        place.serve.program.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(place.serve.program.process.wait, 20)
        # The same port, hence the same directory: certbot finds its account again.
        argv = [*DEVTLS, "serve", "--https-port", str(place.serve.port), "--no-redirect", "--config"]
        async with running([*argv, str(home / "devtls.toml"), "-v"], directory=home, port=place.serve.port) as program:
            await until(lambda: "Browsers may use" in program.output(), program.output)
            await place.run(certonly(place, "other.test"))
            assert len(json.loads((place.home / "state/acme.json").read_text())["accounts"]) == 1
            await place.run(
                certbot(
                    place,
                    "revoke",
                    f"--cert-path={copy / 'cert.pem'}",
                    f"--key-path={copy / 'privkey.pem'}",
                    f"--server={place.directory}",
                    "--no-delete-after-revoke",
                )
            )
            assert [one["state"] for one in await place.register()] == ["revoked", "valid"]


async def test_certbot_behind_a_route_needs_no_settings(home: Path) -> None:
    port = free_port()
    async with acme(home, routes=f"web = {port}") as place:
        argv = certonly(place, NAME)
        argv[3] = f"--http-01-port={port}"
        await place.run(argv)
        assert len(chain_of(place)) == 2


async def test_a_name_outside_the_zones_is_refused_with_the_reason(home: Path) -> None:
    async with acme(home, "http_port = HTTP_PORT") as place:
        with pytest.raises(ProgramFailed, match="lies in none of this CA's zones"):
            await place.run(certonly(place, "web.example.com"))
        assert await place.register() == []


async def test_an_external_account_is_asked_for_where_the_file_says_so(home: Path) -> None:
    key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
    async with acme(home, f'http_port = HTTP_PORT\neab = {{ team = "{key}" }}') as place:
        with pytest.raises(ProgramFailed):
            await place.run(certonly(place, NAME))
        await place.run(certonly(place, NAME, more=[f"--eab-hmac-key={key}", "--eab-kid=team"]))
        assert len(chain_of(place)) == 2


CADDYFILE = """\
{
	admin off
	http_port HTTP_PORT
	https_port TLS_PORT
	storage file_system STORAGE
	skip_install_trust
	auto_https disable_redirects
}
web.dev.local {
	tls {
		SETTINGS
	}
	respond "from caddy"
}
"""
OURS = "ca DIRECTORY\nca_root ROOT\n"  # as the documentation has it


@asynccontextmanager
async def caddy(place: Place, settings: str) -> AsyncIterator[Program]:
    text = CADDYFILE.replace("SETTINGS", settings)
    for word, value in {
        "HTTP_PORT": str(place.http_port),
        "TLS_PORT": str(place.tls_port),
        "STORAGE": str(place.home / "caddy"),
        "DIRECTORY": place.directory,
        "ROOT": str(place.serve.root),
    }.items():
        text = text.replace(word, value)
    (place.home / "Caddyfile").write_text(text)
    argv = [str(BIN / "caddy"), "run", "--config", "Caddyfile", "--adapter", "caddyfile"]
    async with running(argv, directory=place.home, port=place.tls_port, env=place.env) as program:
        yield program


async def shown_by_caddy(place: Place, program: Program, *, other_than: Sequence[str] = ()) -> str:
    """Return the serial number of the certificate that Caddy shows, once it is none of these."""
    context = ssl.create_default_context(cafile=str(place.serve.root))

    found: list[str] = []

    def ask() -> bool:
        try:
            with (
                socket.create_connection(("127.0.0.1", place.tls_port), timeout=5) as plain,
                context.wrap_socket(plain, server_hostname=NAME) as secure,
            ):
                der = secure.getpeercert(binary_form=True)
        except OSError:  # no certificate yet, and so an alert
            return False
        assert der is not None
        found[:] = [serial_text(x509.load_der_x509_certificate(der).serial_number)]
        return found[0] not in other_than

    await until(ask, lambda: program.output()[-4000:], timeout_s=60)
    return found[0]


@pytest.mark.parametrize(
    ("port", "disabled"),
    [
        ("http_port = HTTP_PORT", "disable_tlsalpn_challenge"),
        ("tls_port = TLS_PORT", "disable_http_challenge"),
    ],
    ids=["http-01", "tls-alpn-01"],
)
async def test_caddy_serves_with_a_certificate_of_ours(home: Path, port: str, disabled: str) -> None:
    settings = f"issuer acme {{\ndir DIRECTORY\ntrusted_roots ROOT\n{disabled}\n}}"
    async with acme(home, port) as place:
        async with caddy(place, settings) as program:
            serial = await shown_by_caddy(place, program)
        (one,) = await place.register()
        assert (one["serial"], one["by"]) == (serial, "acme")


def an_hour_later(place: Place) -> None:
    """Have Caddy ask again when it starts; it remembers when that is due."""
    (file,) = place.home.glob("caddy/certificates/*/web.dev.local/web.dev.local.json")
    kept = json.loads(file.read_text())
    kept["issuer_data"]["renewal_info"]["_retryAfter"] = "2020-01-01T00:00:00Z"
    file.write_text(json.dumps(kept))


async def test_caddy_is_told_to_renew_after_a_revocation_and_after_a_renewal_of_the_ca(home: Path) -> None:
    """By RFC 9773; no OCSP is switched on."""
    async with acme(home, "http_port = HTTP_PORT") as place:
        async with caddy(place, OURS) as program:
            first = await shown_by_caddy(place, program)
        await place.run([*DEVTLS, "revoke", first])
        an_hour_later(place)
        async with caddy(place, OURS) as program:
            second = await shown_by_caddy(place, program, other_than=[first])
        await place.run([*DEVTLS, "ca", "renew", "--yes", "--anyway"])
        both = place.serve.root.read_bytes() + (await place.run([*DEVTLS, "ca", "export"])).encode()
        place.serve.root.write_bytes(both)
        an_hour_later(place)
        async with caddy(place, OURS) as program:
            third = await shown_by_caddy(place, program, other_than=[first, second])
        (issuer,) = {one["serial"] for one in await place.register()} - {first, second}
        assert issuer == third


async def test_caddy_renews_and_replaces_what_was_revoked(home: Path) -> None:
    async with acme(home, "http_port = HTTP_PORT\n[ca]\nocsp = true") as place:
        async with caddy(place, OURS) as program:
            first = await shown_by_caddy(place, program)
        # As if nearly all of its life were over.
        async with caddy(place, OURS + "renewal_window_ratio 0.99999") as program:
            second = await shown_by_caddy(place, program, other_than=[first])
        await place.run([*DEVTLS, "revoke", second])
        shutil.rmtree(home / "caddy/ocsp", ignore_errors=True)  # an answer from before, which can be good for an hour
        async with caddy(place, OURS) as program:
            third = await shown_by_caddy(place, program, other_than=[first, second])
        states = {str(one["serial"]): one["state"] for one in await place.register()}
        assert states == {first: "valid", second: "revoked", third: "valid"}
