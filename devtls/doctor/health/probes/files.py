"""Facts about certificates that were written to files: which of them are still there."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from devtls.doctor.health.files import CertificateFile
from devtls.errors import CertificateError, StateError
from devtls.pki.register import Issued, serial_text
from devtls.system.storage.keystore import Keystore
from devtls.system.storage.register import open_registers

_PKCS12 = ".p12"
_MAX_BYTES = 1_048_576


def look_at_files(state_dir: Path, now: datetime) -> tuple[CertificateFile, ...]:
    """Return every certificate that is not revoked and still in its file; none where the CA cannot be used."""
    try:
        histories = [register.history() for register in open_registers(Keystore(state_dir), now)]
    except (CertificateError, StateError, OSError):  # why is said of the CA
        return ()
    issued = (one for history in histories for one in history.issued.values() if one.serial not in history.revoked)
    return tuple(_still_there(issued, now))


def _still_there(issued: Iterator[Issued], now: datetime) -> Iterator[CertificateFile]:
    for one in issued:
        if one.by not in ("cert", "sign") or not Path(one.place).is_absolute():
            continue
        if one.place.endswith(_PKCS12):  # nobody can look into it without its passphrase
            if Path(one.place).is_file():
                yield CertificateFile(one, now)
            continue
        certificate = _certificate(Path(one.place))
        if certificate is not None and serial_text(certificate.serial_number) == one.serial:
            yield CertificateFile(one, now, isinstance(certificate.public_key(), rsa.RSAPublicKey))


def _certificate(path: Path) -> x509.Certificate | None:
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            return x509.load_pem_x509_certificate(file.read(_MAX_BYTES))
    except (OSError, ValueError):
        return None
