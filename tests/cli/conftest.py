from __future__ import annotations

from pathlib import Path

import pytest

from devtls.system.machine.machine import Machine
from devtls.system.machine.plan import ALREADY_ROOT
from tests.cli.desk import CERTUTIL, CURL, Desk
from tests.system.changes.truststore.foreign_roots import make_foreign_root


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A Debian with an NSS certutil and a curl that trusts what CURL_CA_BUNDLE names."""
    root, home, state = tmp_path / "system", tmp_path / "home", tmp_path / "state"
    made = Desk(Machine.redirected(root, home, {}, elevation=ALREADY_ROOT), state)
    home.mkdir()
    anchors = root / "usr/local/share/ca-certificates"
    anchors.mkdir(parents=True)
    made.bundle.parent.mkdir(parents=True)
    made.bundle.write_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    (anchors / "system.crt").write_bytes(made.bundle.read_bytes())
    (root / "etc/os-release").write_text("ID=debian\n")
    made.tool("usr/sbin/update-ca-certificates", f"cat {anchors}/*.crt >{made.bundle}")
    made.tool("usr/bin/certutil", CERTUTIL)
    made.tool("usr/bin/curl", CURL)
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
