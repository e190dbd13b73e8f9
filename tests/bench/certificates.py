"""A root and a leaf for nginx, of the kind that devtls mints: ECDSA P-256, one exact name."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat


def write_chain(folder: Path, name: str) -> None:
    """Write root.pem, leaf.pem and leaf.key for `name` (an IP address too) into `folder`; they are valid for a day."""
    root_key, leaf_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bench root")])
    root = _builder(root_key.public_key(), issuer, issuer)
    root = root.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    root = root.add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False), critical=True)
    identifier = x509.SubjectKeyIdentifier.from_public_key(root_key.public_key())
    root = root.add_extension(identifier, critical=False)
    leaf = _builder(leaf_key.public_key(), x509.Name([]), issuer)
    leaf = leaf.add_extension(x509.SubjectAlternativeName([_general_name(name)]), critical=True)
    issued_by = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
    leaf = leaf.add_extension(issued_by, critical=False)
    (folder / "root.pem").write_bytes(root.sign(root_key, hashes.SHA256()).public_bytes(Encoding.PEM))
    (folder / "leaf.pem").write_bytes(leaf.sign(root_key, hashes.SHA256()).public_bytes(Encoding.PEM))
    key = leaf_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "leaf.key").write_bytes(key)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(key: ec.EllipticCurvePublicKey, subject: x509.Name, issuer: x509.Name) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder(issuer, subject, key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
    )
