"""Certificates in files, of other servers and clients, that come to their end.

Owns the moment of the warning (a third of the life before, sixty days at most) and the command for the next one.
Refuses to speak of certificates that are revoked, that ACME clients renew by themselves, or that are no longer in their
file.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePath

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from devtls.doctor.health.finding import Finding, Level, Section, counted
from devtls.errors import CertificateError, StateError
from devtls.pki.leaf import PROFILE
from devtls.pki.register import Issued, serial_text
from devtls.system.storage.keystore import Keystore
from devtls.system.storage.register import open_registers

_PKCS12 = ".p12"


@dataclass(frozen=True, slots=True)
class CertificateFile:
    """A certificate that is still in the file it was written to; `has_rsa` False also when nobody can look."""

    issued: Issued
    now: datetime
    has_rsa: bool = False


def check_files(found: Iterable[CertificateFile]) -> Iterator[Finding]:
    """Yield the findings about certificates in files."""
    for file in found:
        one = file.issued
        # A certificate of a few days would be warned of from its first day with the usual term.
        soon = min(PROFILE.warn_before, (one.not_after - one.not_before) / 3)
        left = one.not_after - file.now
        if left >= soon:
            continue
        when = f"ends on {one.not_after:%Y-%m-%d}, in {counted(left.days, 'day')}" if left.days >= 0 else _ended(one)
        yield Finding(
            "certificate-ends",
            Section.CA,
            Level.WARNING,
            f"The certificate in {one.place} {when}.",
            "Whoever connects to a server that shows it, or logs in with it, is refused from that day on.",
            _next(file),
            one.place,
        )


def _ended(one: Issued) -> str:
    return f"ended on {one.not_after:%Y-%m-%d}"


def _next(file: CertificateFile) -> str:
    """Return the command that makes the next one in its place."""
    one, place = file.issued, PurePath(file.issued.place)
    client = ["--client"] if one.kind == "client" else []
    days = (one.not_after - one.not_before).days
    lasting = [] if days == PROFILE.leaf_lifetime.days else ["--days", str(days)]
    if one.by == "sign":
        words = ["devtls", "sign", "FILE.csr", "--out", str(place), *client, *lasting, "--force"]
    else:
        packed = ["--p12"] if place.suffix == _PKCS12 else []
        key = ["--key-type", "rsa"] if file.has_rsa else []
        options = [*client, *packed, *key, *lasting]
        words = ["devtls", "cert", *one.names, "--out", str(place.parent), *options, "--force"]
    return shlex.join(words)


_MAX_BYTES = 1_048_576


def probe_files(state_dir: Path, now: datetime) -> tuple[CertificateFile, ...]:
    """Probe the files: every certificate that is not revoked and still there; none where the CA cannot be used."""
    try:
        histories = [register.history() for register in open_registers(Keystore(state_dir), now)]
    except (CertificateError, StateError, OSError):  # why is said of the CA
        return ()
    issued = (one for history in histories for one in history.issued.values() if one.serial not in history.revoked)
    return tuple(_still_there(issued, now))


def _still_there(issued: Iterator[Issued], now: datetime) -> Iterator[CertificateFile]:
    for one in issued:
        # ACME clients renew by themselves, and a relative place says nothing without its directory.
        if one.by not in ("cert", "sign") or not Path(one.place).is_absolute():
            continue
        if one.place.endswith(_PKCS12):  # nobody can look into it without its passphrase
            if Path(one.place).is_file():
                yield CertificateFile(one, now)
            continue
        certificate = _certificate(Path(one.place))
        # Another serial: the file was replaced, and this certificate is in use no more.
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
