"""A JDK for tests: a folder of its own with a small keystore, and the machine's real keytool behind it."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from devtls.system.changes.truststore.java_keystore import PASSWORD

NO_PASSWORD = ("-J-Dkeystore.pkcs12.certProtectionAlgorithm=NONE", "-J-Dkeystore.pkcs12.macAlgorithm=NONE")
HOW_TO_INSTALL = "sudo apt-get install default-jre-headless"


def keytool(tool: str, *arguments: str, store: Path, password: str = PASSWORD) -> str:
    argv = [tool, *arguments, "-keystore", str(store), "-storepass", password]
    ended = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def aliases(tool: str, store: Path, password: str = PASSWORD) -> dict[str, str]:
    """Return alias -> SHA-256 as keytool itself lists them."""
    lines = keytool(tool, "-list", store=store, password=password).splitlines()
    return {
        line.split(",")[0]: lines[index + 1].rpartition(": ")[2].replace(":", "").lower()
        for index, line in enumerate(lines)
        if line.rstrip().endswith("trustedCertEntry,")
    }


def import_into(store: Path, tool: str, alias: str, certificate: Path, more: Sequence[str] = ()) -> None:
    keytool(tool, "-importcert", "-noprompt", "-alias", alias, "-file", str(certificate), *more, store=store)


def make_jdk(home: Path, tool: str, certificate: Path, *, kind: str = "PKCS12", version: str = "21.0.2") -> Path:
    """Make a JDK's folder: a `release` file, a link to the real keytool, and a keystore with one other root."""
    security = home / "lib" / "security"
    security.mkdir(parents=True)
    (home / "bin").mkdir()
    (home / "bin" / "keytool").symlink_to(Path(tool).resolve())
    (home / "release").write_text(f'IMPLEMENTOR="Test"\nJAVA_VERSION="{version}"\n')
    import_into(security / "cacerts", tool, "otherroot", certificate, ("-storetype", kind))
    return home
