"""The CA that the tests of locked and kept keys look at."""

from __future__ import annotations

from datetime import UTC, datetime

from devtls.pki.authority import Authority
from devtls.system.storage.keystore import Keystore
from tests.cli.shell import Shell

PASSPHRASE = "correct horse battery"


def present(shell: Shell) -> Authority:
    return Keystore(shell.state).load(datetime.now(UTC))


def keys_on_disk(shell: Shell) -> list[str]:
    files = (path for path in shell.state.rglob("*") if path.is_file())
    return sorted(path.name for path in files if b"BEGIN PRIVATE KEY" in path.read_bytes())
