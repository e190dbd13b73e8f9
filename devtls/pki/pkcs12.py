"""PKCS #12 files (RFC 7292) of a key and its chain: the file that browsers and other programs import.

Owns the work that a guess of the passphrase costs. A guess can be tried on the encryption or on the MAC, whichever is
cheaper, and cryptography writes each MAC with 2,048 iterations whatever the encryption has: so the MAC is made anew.
Refuses nothing. Strategy: one round of the MAC's key derivation is one SHA-256, one of PBKDF2 two, so the MAC has twice
as many. PBMAC1 (RFC 9579) would use PBKDF2 for the MAC as well, but few programs read it yet.
"""

from __future__ import annotations

from hashlib import sha256
from hmac import digest

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import PrivateFormat
from cryptography.hazmat.primitives.serialization.pkcs12 import (
    PBES,
    PKCS12PrivateKeyTypes,
    serialize_key_and_certificates,
)

from devtls.pki.der import byte_string, encode, integer, items, only, sequence

# Importers refuse what would keep them busy for long; these cost a program in C about 0.1 s in all.
ENCRYPTION_ROUNDS = 125_000
MAC_ROUNDS = 2 * ENCRYPTION_ROUNDS

_SEQUENCE, _BYTE_STRING, _NULL = 0x30, 0x04, 0x05
_SHA256 = bytes.fromhex("0609608648016503040201")  # RFC 5754 2
# Purpose 3 of the key derivation: a MAC (RFC 7292 B.3), repeated to SHA-256's block (B.2).
_BLOCK_BYTES = 64
_FOR_MAC = b"\x03" * _BLOCK_BYTES


def write_key_file(
    key: PKCS12PrivateKeyTypes, chain: list[x509.Certificate], name: str, passphrase: bytes, salt: bytes
) -> bytes:
    """Return key and chain under `passphrase` (UTF-8): AES-256 with PBKDF2, and a MAC with a random `salt`."""
    encryption = (
        PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(ENCRYPTION_ROUNDS)
        .key_cert_algorithm(PBES.PBESv2SHA256AndAES256CBC)
        .hmac_hash(SHA256())
        .build(passphrase)
    )
    written = serialize_key_and_certificates(name.encode(), key, chain[0], chain[1:], encryption)
    version, content, _ = items(only(written, _SEQUENCE))
    _, explicit = items(content[1])
    mac = digest(mac_key(passphrase, salt), only(explicit[1], _BYTE_STRING), "sha256")
    info = sequence(sequence(_SHA256, encode(_NULL)), byte_string(mac))
    return sequence(version[2], content[2], sequence(info, byte_string(salt), integer(MAC_ROUNDS)))


def mac_key(passphrase: bytes, salt: bytes, rounds: int = MAC_ROUNDS) -> bytes:
    """Return the key of the MAC: RFC 7292 B.2, for a key of one digest's length."""
    # As a BMPString with a NUL at its end (B.1).
    secret = passphrase.decode().encode("utf-16-be") + b"\0\0"
    derived = _FOR_MAC + _filled(salt) + _filled(secret)
    for _ in range(rounds):
        derived = sha256(derived).digest()
    return derived


def _filled(text: bytes) -> bytes:
    """Repeat `text` to whole blocks."""
    size = -(-len(text) // _BLOCK_BYTES) * _BLOCK_BYTES
    return (text * (size // len(text) + 1))[:size]
