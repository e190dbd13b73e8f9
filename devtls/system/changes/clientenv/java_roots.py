"""The roots that Java trusts: those of the truststore that the user named, else of the JDK that would run.

Owns finding the file and the choice of how to open it. Refuses to change any file of a JDK. A `jssecacerts` beside
`cacerts` takes its place (JSSE reference guide).
"""

from __future__ import annotations

import shutil
import subprocess
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12

from devtls.errors import CertificateError
from devtls.pki.java_truststore import read_truststore
from devtls.system.changes.clientenv.java_options import own_property, without_ours
from devtls.system.changes.clientenv.variables import JAVA_VARIABLE

# In the order in which Java looks (JSSE reference guide); jre/ is of Java 8 and older.
_PLACES = (
    "lib/security/jssecacerts",
    "lib/security/cacerts",
    "jre/lib/security/jssecacerts",
    "jre/lib/security/cacerts",
)
# Other types (KeychainStore, Windows-ROOT, PKCS11) have no file that could be read and extended.
_FILE_TYPES = frozenset({"", "jks", "pkcs12"})
_USUAL_PASSWORD = "changeit"  # noqa: S105 - every JDK's, and no secret: truststores hold public certificates
_MAC_FINDER = Path("/usr/libexec/java_home")
_FINDER_S = 5.0


@dataclass(frozen=True, slots=True)
class JavaRootFacts:
    """`options` is the user's own JAVA_TOOL_OPTIONS; `base` the truststore behind `certificates`, "" = none was found.

    `own` = the user named it; `trouble` says why it could not be read.
    """

    options: str = ""
    base: str = ""
    certificates: tuple[bytes, ...] = ()
    own: bool = False
    trouble: str = ""


def probe_java(environ: Mapping[str, str]) -> JavaRootFacts:
    """Read the options and the roots of the Java that `environ` leads to."""
    options = without_ours(environ.get(JAVA_VARIABLE, ""))
    kind = (own_property(options, "trustStoreType") or "").lower()
    if kind not in _FILE_TYPES or own_property(options, "trustStoreProvider"):
        return JavaRootFacts(options, own=True, trouble=f"names a truststore that is no file ({kind or 'a provider'})")
    named = own_property(options, "trustStore")
    if named is not None:
        return _read(options, Path(named).absolute(), own=True)
    home = _java_home(environ)
    found = next((home / place for place in _PLACES if (home / place).is_file()), None) if home else None
    return _read(options, found, own=False) if found else JavaRootFacts(options)


def _read(options: str, file: Path, *, own: bool) -> JavaRootFacts:
    password = own_property(options, "trustStorePassword") or _USUAL_PASSWORD
    try:
        return JavaRootFacts(options, str(file), certificates_of(file.read_bytes(), password), own)
    except OSError as error:
        trouble = str(error.strerror)
    except CertificateError as error:
        trouble = str(error).rstrip(".")
    return JavaRootFacts(options, str(file), own=own, trouble=f"names {file}, which cannot be read ({trouble})")


def certificates_of(data: bytes, password: str = _USUAL_PASSWORD) -> tuple[bytes, ...]:
    """Return the trusted certificates (DER) of a truststore; raises CertificateError."""
    try:
        # First without a password: JKS and our own PKCS #12 hold certificates in the clear.
        return read_truststore(data)
    except CertificateError:
        return _decrypted(data, password)


def _decrypted(data: bytes, password: str) -> tuple[bytes, ...]:
    try:
        with warnings.catch_warnings(action="ignore"):  # of odd certificates among a JDK's roots
            found = load_pkcs12(data, password.encode()).additional_certs
            return tuple(entry.certificate.public_bytes(Encoding.DER) for entry in found)
    except ValueError as error:
        raise CertificateError("It is neither JKS nor PKCS #12, or has another password.") from error


def _java_home(environ: Mapping[str, str]) -> Path | None:
    if environ.get("JAVA_HOME"):
        return Path(environ["JAVA_HOME"])
    if _MAC_FINDER.exists():
        return _ask_mac()
    # Resolved, since distributions put a chain of links (alternatives) between PATH and the JDK.
    java = shutil.which("java", path=environ.get("PATH"))
    return Path(java).resolve().parent.parent if java else None


def _ask_mac() -> Path | None:
    """Return the answer of macOS: its /usr/bin/java is a stub that lies beside no JDK."""
    try:
        asked = subprocess.run(
            [str(_MAC_FINDER)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_FINDER_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return Path(asked.stdout.strip())
