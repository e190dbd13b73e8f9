"""Whether certificates in files, of other servers and clients, come to their end.

Owns when that is said (a third of the life before, sixty days at most) and the command for the next one. Refuses to
speak of certificates that are revoked, that ACME clients renew by themselves, or that are no longer where they went.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath

from devtls.doctor.health.finding import Finding, Level, Section
from devtls.pki.leaf import PROFILE
from devtls.pki.register import Issued

_PKCS12 = ".p12"


@dataclass(frozen=True, slots=True)
class CertificateFile:
    """A certificate that is still in the file it was written to; `has_rsa` False also when nobody can look."""

    issued: Issued
    now: datetime
    has_rsa: bool = False


def judge_files(found: Iterable[CertificateFile]) -> Iterator[Finding]:
    """Yield what there is to say about certificates in files."""
    for file in found:
        one = file.issued
        soon = min(PROFILE.warn_before, (one.not_after - one.not_before) / 3)
        left = one.not_after - file.now
        if left >= soon:
            continue
        when = f"ends on {one.not_after:%Y-%m-%d}, in {left.days} days" if left.days >= 0 else _ended(one)
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
