"""Certificates of the register, found by serial number, by name or by file.

Owns the order in which these are tried, and the error when none is found. Refuses files with certificates of other CAs.
After a renewal there are several registers: that of the CA that signs is the first.
"""

from __future__ import annotations

import errno
from datetime import datetime
from functools import cached_property
from pathlib import Path

import msgspec
from cryptography import x509

from devtls.errors import CertificateError, Refused, StateError
from devtls.operations.context import Context
from devtls.pki.authority import Authority
from devtls.pki.ca_chain import signed_by
from devtls.pki.register import History, Issued, joined, matching, serial_text
from devtls.system.storage.register import Register, open_registers

CERTS_LIST = "devtls certs list"
"""The hint for a certificate that was not found."""


class CertificateRegisters(msgspec.Struct, frozen=True, dict=True):
    """The registers of the CA that signs and of the older ones whose certificates are still valid, each read once."""

    registers: tuple[Register, ...]
    now: datetime

    @cached_property
    def histories(self) -> tuple[History, ...]:
        """The content of each register."""
        return tuple(register.history() for register in self.registers)

    @cached_property
    def history(self) -> History:
        """The content of all registers, the oldest first."""
        return joined(reversed(self.histories))

    @cached_property
    def authorities(self) -> tuple[Authority, ...]:
        """Every CA, the one that signs first."""
        return tuple(register.authority for register in self.registers)

    @cached_property
    def owners(self) -> dict[str, str]:
        """Serial number -> the id of the CA whose register holds it."""
        held = zip(self.authorities, self.histories, strict=True)
        return {serial: ca.id for ca, history in held for serial in (*history.revoked, *history.issued)}

    def find(self, wanted: str) -> tuple[Issued, ...]:
        """Return the recorded certificates with a serial number, name or file, at least one. Raises DevtlsError."""
        # A file comes first: a path is never a serial number or a name by accident.
        certificate = self.certificate_in(wanted)
        if certificate is not None:
            recorded = self.history.issued.get(serial_text(certificate.serial_number))
            if recorded is None:
                raise CertificateError(f"The certificate in {wanted} is in no register.", hint=CERTS_LIST)
            return (recorded,)
        found = matching(self.history, wanted)
        if not found:
            raise CertificateError(
                f"No certificate of this CA has the name or serial number {wanted!r}.", hint=CERTS_LIST
            )
        # A name may mean several certificates, the beginning of a serial number only one.
        if len(found) > 1 and not any(wanted.lower() in one.names for one in found):
            raise Refused(f"{len(found)} serial numbers begin with {wanted!r}.", hint="write more of its digits")
        return found

    def certificate_in(self, file: str) -> x509.Certificate | None:
        """Return the first certificate in a file, None when there is no such file.

        Raises CertificateError for a certificate of another CA.
        """
        content = _content(file)
        if content is None:
            return None
        load = x509.load_pem_x509_certificate if b"-----BEGIN " in content else x509.load_der_x509_certificate
        try:
            certificate = load(content)
        except ValueError as error:
            raise CertificateError(f"There is no certificate in {file}.", hint=CERTS_LIST) from error
        if self.issuer_of(certificate) is None:
            raise CertificateError(f"The certificate in {file} is none of this CA's.", hint=CERTS_LIST)
        return certificate

    def issuer_of(self, certificate: x509.Certificate) -> Authority | None:
        """Return the CA whose intermediate or root signed a certificate."""
        for authority in self.authorities:
            if any(signed_by(certificate, issuer) for issuer in authority.certificates):
                return authority
        return None


def open_certificates(context: Context) -> CertificateRegisters:
    """Return the registers of this machine, and report damaged lines. Raises what `Keystore.load` raises."""
    found = CertificateRegisters(open_registers(context.keystore, context.now), context.now)
    if found.history.damaged:
        lines = ", ".join(str(number) for number in found.history.damaged)
        context.reporter.warning(f"The register has lines that cannot be read: {lines}.")
    return found


def is_intermediate(certificate: x509.Certificate, authority: Authority) -> bool:
    """Say whether the root of a CA signed a certificate, rather than the intermediate that signs leaves."""
    # A self-signed CA has no intermediate: its root signs the leaves itself.
    return authority.root != authority.intermediate.certificate and signed_by(certificate, authority.root)


def _content(file: str) -> bytes | None:
    try:
        # is_file: a FIFO or device that happens to have the name would block the read.
        return Path(file).read_bytes() if Path(file).is_file() else None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # a serial number, or nonsense
            return None
        raise StateError(f"{file} cannot be read: {error.strerror}.", path=file, hint="check its mode") from error
