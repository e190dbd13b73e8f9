from __future__ import annotations

from pathlib import Path

import pytest

from devtls.system.changes.clientenv.variables import ROOT_FILE
from devtls.system.changes.truststore.root import RootCertificate
from tests.system.changes.truststore.conftest import make_root


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A state directory whose name no shell likes."""
    directory = tmp_path / 'it\'s a "$tate" directory'
    directory.mkdir()
    return directory


@pytest.fixture
def root(directory: Path) -> RootCertificate:
    made = make_root(directory)
    return RootCertificate(made.id, made.der, directory / ROOT_FILE)


@pytest.fixture
def older_root(tmp_path: Path) -> RootCertificate:
    return make_root(tmp_path)


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """The root of a system whose bundle holds two certificates."""
    bundle = tmp_path / "system/etc/ssl/cert.pem"
    bundle.parent.mkdir(parents=True)
    bundle.write_bytes(b"# roots\n" + PUBLIC_PEM + OTHER_PEM)
    return tmp_path / "system"


PUBLIC, OTHER, CORPORATE = b"\x30\x03\x02\x01\x01", b"\x30\x03\x02\x01\x02", b"\x30\x03\x02\x01\x03"
PUBLIC_PEM = b"-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n"
OTHER_PEM = PUBLIC_PEM.replace(b"AQE=", b"AQI=")
CORPORATE_PEM = PUBLIC_PEM.replace(b"AQE=", b"AQM=")
