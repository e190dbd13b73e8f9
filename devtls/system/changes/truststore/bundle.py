"""A bundle of other roots and ours: the system's, for programs whose variable replaces their list instead of adding
to it, or those of a file that the user's own variable names already and must go on naming.

Owns finding the system's bundle and the file in our state directory. Refuses to write one with nothing but our root: a
program pointed at it would trust no other site.
"""

from __future__ import annotations

from pathlib import Path

from devtls.system.changes.truststore.families import FAMILIES, NIXOS
from devtls.system.changes.truststore.root import RootCertificate, certificates_in, pem_of
from devtls.system.machine.execute import write_atomically

_MORE_BUNDLES = ("etc/ssl/cert.pem", "etc/pki/tls/certs/ca-bundle.crt", "usr/share/ssl/certs/ca-bundle.crt")


def write_merged_bundle(path: Path, root: RootCertificate, system_root: Path = Path("/")) -> Path | None:
    """Write the system's roots and `root` to `path`; None when this system has no bundle."""
    return _write(path, system_certificates(system_root), root)


def write_extended_bundle(path: Path, root: RootCertificate, existing: Path) -> Path | None:
    """Write the certificates of `existing` and `root` to `path`; None when `existing` holds none."""
    try:
        return _write(path, list(certificates_in(existing.read_bytes())), root)
    except OSError:
        return None


def _write(path: Path, certificates: list[bytes], root: RootCertificate) -> Path | None:
    if not certificates:
        return None
    # The system's bundle may hold ours already.
    others = [der for der in certificates if der not in root.ders]
    write_atomically(path, b"".join(pem_of(der) for der in [*others, *root.ders]), 0o644)
    return path


def system_certificates(system_root: Path = Path("/")) -> list[bytes]:
    """Return the roots (DER) in the first bundle of this system that holds any."""
    names = [name for family in (*FAMILIES, NIXOS) for name in family.bundles]
    for name in dict.fromkeys((*names, *_MORE_BUNDLES)):
        place = system_root / name
        if place.is_file():
            found = list(certificates_in(place.read_bytes()))
            if found:
                return found
    return []
