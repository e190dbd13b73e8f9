"""A JDK for tests: a directory of its own with a small keystore, and the machine's real keytool behind it.

Starting a JVM is most of what these tests cost. A keystore is made once per session and copied; what still has to ask
keytool, a test for its list or devtls for a change, starts it without the compiler and the threads that a command of a
few milliseconds never pays back (0.85 s of CPU time became 0.45 s).
"""

from __future__ import annotations

import functools
import shlex
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from devtls.system.changes.truststore.java_keystore import PASSWORD

NO_PASSWORD = ("-J-Dkeystore.pkcs12.certProtectionAlgorithm=NONE", "-J-Dkeystore.pkcs12.macAlgorithm=NONE")
QUICK_START = ("-J-XX:TieredStopAtLevel=1", "-J-XX:+UseSerialGC")
HOW_TO_INSTALL = "sudo apt-get install default-jre-headless"


def keytool(tool: str, *arguments: str, store: Path, password: str = PASSWORD) -> str:
    argv = [tool, *QUICK_START, *arguments, "-keystore", str(store), "-storepass", password]
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


@functools.cache
def _keystore(tool: str, kind: str, certificate: bytes) -> bytes:
    """Return a keystore of keytool's own making that trusts one certificate."""
    with tempfile.TemporaryDirectory(prefix="devtls-keystore-") as directory:
        file, store = Path(directory, "root.pem"), Path(directory, "cacerts")
        file.write_bytes(certificate)
        import_into(store, tool, "otherroot", file, ("-storetype", kind))
        return store.read_bytes()


def put_keytool(directory: Path, tool: str) -> None:
    """Make `bin/keytool` in a JDK's directory a program that starts the real one."""
    (directory / "bin").mkdir(exist_ok=True)
    program = directory / "bin" / "keytool"
    program.write_text(f'#!/bin/sh\nexec {shlex.join((str(Path(tool).resolve()), *QUICK_START))} "$@"\n')
    program.chmod(0o755)


def make_jdk(home: Path, tool: str, certificate: Path, *, kind: str = "PKCS12", version: str = "21.0.2") -> Path:
    """Make a JDK's directory: a `release` file, the real keytool, and a keystore with one other root."""
    security = home / "lib" / "security"
    security.mkdir(parents=True)
    put_keytool(home, tool)
    (home / "release").write_text(f'IMPLEMENTOR="Test"\nJAVA_VERSION="{version}"\n')
    (security / "cacerts").write_bytes(_keystore(tool, kind, certificate.read_bytes()))
    return home
