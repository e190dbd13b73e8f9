"""A private key under a passphrase, in a container of our own.

Owns the format: scrypt (RFC 7914) makes the key of AES-256-GCM from the passphrase; the header with all parameters is
authenticated with the content. Refuses a later version, costs that it did not write itself, and any changed byte.
Strategy: PKCS #8 as OpenSSL and cryptography write it derives its key by PBKDF2, which graphics cards try fast; scrypt
with these costs needs 128 MiB for each try. Salt and nonce are parameters: nothing here makes randomness.

    octets   content
    0-9      "devtls-key"
    10       version, 1
    11       log2 of scrypt's n; 12: its r; 13: its p
    14-29    salt
    30-41    nonce
    42-      PKCS #8 (DER) of the key under AES-256-GCM, and the tag; the header, 0-41, is its associated data
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_der_private_key

from devtls.errors import CertificateError, WrongPassphrase

if TYPE_CHECKING:
    from devtls.pki.signature import IssuerKey

SALT_BYTES = 16
NONCE_BYTES = 12

_MARK = b"devtls-key"
_VERSION = 1
_COST = bytes((17, 8, 1))  # 128 MiB
_VERSION_AT = len(_MARK)
_SALT_AT = _VERSION_AT + 1 + len(_COST)
_NONCE_AT = _SALT_AT + SALT_BYTES
_HEADER_BYTES = _NONCE_AT + NONCE_BYTES
_KEY_BYTES = 32


def is_locked(content: bytes) -> bool:
    """Say whether `content` is such a container, of any version."""
    return content.startswith(_MARK)


def lock_key(key: IssuerKey, passphrase: str, *, salt: bytes, nonce: bytes) -> bytes:
    """Return the container. `salt` and `nonce` are fresh and random, SALT_BYTES and NONCE_BYTES long."""
    header = _MARK + bytes((_VERSION,)) + _COST + salt + nonce
    if len(header) != _HEADER_BYTES:
        raise ValueError("a salt or nonce of another length")
    content = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return header + _cipher(passphrase, header).encrypt(nonce, content, header)


def unlock_key(container: bytes, passphrase: str) -> IssuerKey:
    """Return the key; raises WrongPassphrase, or CertificateError for what is no container of this version."""
    header = container[:_HEADER_BYTES]
    if len(header) < _HEADER_BYTES or not is_locked(header):
        raise CertificateError("This is no locked key of devtls.")
    if header[_VERSION_AT] > _VERSION:
        raise CertificateError("The key was locked by a later devtls.", hint="upgrade devtls")
    if header[_VERSION_AT:_SALT_AT] != bytes((_VERSION,)) + _COST:
        raise CertificateError("The head of the locked key is damaged.")
    try:
        content = _cipher(passphrase, header).decrypt(header[_NONCE_AT:], container[_HEADER_BYTES:], header)
        key = load_der_private_key(content, None)
    except InvalidTag as error:
        raise WrongPassphrase("The passphrase is wrong, or the file was changed.", hint="try again") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CertificateError("What was locked is no key.") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise CertificateError("What was locked is a key of another kind.")
    return key


def _cipher(passphrase: str, header: bytes) -> AESGCM:
    log_n, r, p = header[_VERSION_AT + 1 : _SALT_AT]
    kdf = Scrypt(header[_SALT_AT:_NONCE_AT], _KEY_BYTES, 1 << log_n, r, p)
    return AESGCM(kdf.derive(passphrase.encode()))
