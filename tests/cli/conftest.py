from __future__ import annotations

from pathlib import Path

import pytest

from devtls.system.machine.machine import Machine
from tests.cli.shell import Shell
from tests.system.changes.truststore.foreign_roots import make_foreign_root
from tests.system.machine.small_debian import redirected


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A Debian with an NSS certutil and a curl that trusts what CURL_CA_BUNDLE names."""
    state = tmp_path / "state"
    made = Shell(redirected(tmp_path, tmp_path / "home"), state)
    made.install()
    monkeypatch.setenv("DEVTLS_STATE_DIR", str(state))
    monkeypatch.setattr(Machine, "here", classmethod(lambda cls: made.machine))
    monkeypatch.delenv("SUDO_UID", raising=False)
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    return made


@pytest.fixture
def mkcert_root(tmp_path: Path) -> Path:
    """A root as mkcert makes it (RSA, no fences), in a PEM file."""
    path = tmp_path / "rootCA.pem"
    path.write_bytes(make_foreign_root("mkcert somebody@laptop", "mkcert development CA"))
    return path
