"""What `devtls cert` and `devtls sign` share: whom they issue for, under which CA, and what goes along.

Owns the checks that come before anything is written: days, CA, names.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from devtls.cli.terminal.passphrase import terminal_passphrases
from devtls.operations.config_choice import wants_ocsp
from devtls.pki.certify import CertificateTemplate, check_days
from devtls.pki.names_in_certificates import Kind, parse_names
from devtls.pki.register import Maker
from devtls.system.machine.paths import Paths
from devtls.system.storage.keystore import Keystore
from devtls.system.storage.register import Register


class Issuing(msgspec.Struct, frozen=True):
    """An order that can be carried out."""

    register: Register
    order: CertificateTemplate
    now: datetime

    def issue(self, key: CertificatePublicKeyTypes, *, by: Maker, place: str) -> x509.Certificate:
        """Return the certificate, which is recorded by then. Raises DevtlsError."""
        return self.register.issue(self.order, key, by=by, place=place, now=self.now)

    def chain(self, leaf: x509.Certificate, *, fullchain: bool) -> list[x509.Certificate]:
        """Return what goes into a file: the root only on demand, since no client needs it from a server."""
        above = self.register.authority.path
        return [leaf, *(above if fullchain else above[:-1])]


def begin(names: Iterable[str], *, client: bool, days: int, passphrase_fd: int | None) -> Issuing:
    """Check what was asked for; a locked CA will read its passphrase from `passphrase_fd`. Raises DevtlsError."""
    now, paths = datetime.now(UTC), Paths.from_environment()
    check_days(days)
    keystore = Keystore(paths.state_dir, terminal_passphrases(passphrase_fd))
    authority = keystore.load(now)
    kind: Kind = "client" if client else "server"
    order = CertificateTemplate(parse_names(names, authority.zones, kind), kind, days, wants_ocsp(paths))
    return Issuing(Register(keystore, authority), order, now)


def in_words(order: CertificateTemplate, leaf: x509.Certificate) -> str:
    """Return for whom a certificate is, and until when."""
    names = ", ".join(str(name) for name in order.names)
    return f"For {names}, until {leaf.not_valid_after_utc:%Y-%m-%d}"
