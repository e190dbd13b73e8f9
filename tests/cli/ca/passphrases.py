"""The CA that the tests of locked and kept keys look at."""

from __future__ import annotations

from datetime import UTC, datetime

from devtls.pki.authority import Authority
from devtls.system.storage.keystore import Keystore
from tests.cli.desk import Desk

PASSPHRASE = "correct horse battery"


def present(desk: Desk) -> Authority:
    return Keystore(desk.state).load(datetime.now(UTC))


def keys_on_disk(desk: Desk) -> list[str]:
    files = (path for path in desk.state.rglob("*") if path.is_file())
    return sorted(path.name for path in files if b"BEGIN PRIVATE KEY" in path.read_bytes())
