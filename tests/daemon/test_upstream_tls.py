"""TLS contexts towards https targets."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest

from devtls.config import parse_config
from devtls.daemon.upstream_tls import ClientContexts
from devtls.errors import ConfigError
from devtls.names import DEFAULT_ZONES
from devtls.routing import RouteTable, build_routes
from devtls.system.storage.keystore import Keystore


def table(directory: Path, options: str) -> RouteTable:
    text = f'[routes]\napi = {{ target = "https://127.0.0.1:1"{options and ", " + options} }}\n'
    config = parse_config(text.encode(), source="devtls.toml", directory=str(directory))
    return build_routes(config, DEFAULT_ZONES, static_sockets={})


def test_targets_are_verified_by_their_own_ca(tmp_path: Path) -> None:
    authority = Keystore(tmp_path / "ca").create(DEFAULT_ZONES, datetime.now(UTC))
    (tmp_path / "corp.pem").write_bytes(authority.root_pem)
    contexts, routes = ClientContexts(), table(tmp_path, 'ca = "corp.pem"').routes
    contexts.prepare(routes)
    context = contexts(routes[0].upstream)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert len(context.get_ca_certs()) == 1


@pytest.mark.parametrize("strict", [False, True])
def test_every_python_verifies_a_target_as_browsers_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, strict: bool
) -> None:
    usual = ssl.create_default_context

    def of_another_python() -> ssl.SSLContext:
        context = usual()
        flags = ssl.VerifyFlags.VERIFY_X509_STRICT | ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
        context.verify_flags = context.verify_flags | flags if strict else context.verify_flags & ~flags
        return context

    monkeypatch.setattr(ssl, "create_default_context", lambda cafile: of_another_python())
    contexts, routes = ClientContexts(), table(tmp_path, "").routes
    contexts.prepare(routes)
    flags = contexts(routes[0].upstream).verify_flags
    assert not flags & ssl.VerifyFlags.VERIFY_X509_STRICT
    assert flags & ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN


def test_verify_false_checks_nothing(tmp_path: Path) -> None:
    contexts, routes = ClientContexts(), table(tmp_path, "verify = false").routes
    contexts.prepare(routes)
    assert contexts(routes[0].upstream).verify_mode is ssl.CERT_NONE


@pytest.mark.parametrize("content", [None, b"no certificate"])
def test_a_ca_that_cannot_be_used_is_named_with_its_line(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "corp.pem").write_bytes(content)
    with pytest.raises(ConfigError, match=r"devtls\.toml:2: routes\.api\.ca: .*corp\.pem cannot be used"):
        ClientContexts().prepare(table(tmp_path, 'ca = "corp.pem"').routes)
