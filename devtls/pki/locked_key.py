"""A CA's private key under a passphrase: PKCS #8, encrypted with PBES2, scrypt and AES-256-CBC, PEM.

Owns the writing of that container (`openssl pkey` and cryptography read it) and the reading of it and of the format of
earlier versions. Refuses keys that a CA cannot have, a later version of the earlier format, and its costs when they are
not the ones that were written.
Strategy: cryptography reads PKCS #8 with scrypt and writes it with PBKDF2 only, so it is written here (RFC 8018 6.2,
RFC 7914 7). Salt and initialisation vector are parameters: nothing here makes randomness.

The cost of scrypt: OpenSSL reads with at most 32 MiB and refuses N = 2^15 with r = 8, so N = 2^14 is the most that both
take (16 MiB a guess). p = 8 makes up for it: N * r * p, hence the memory that a guess has to move, is that of
N = 2^17, r = 8, p = 1. Measured on one core (OpenSSL 4.0): 0.40 s a guess; PBKDF2-HMAC-SHA256 with 600,000 rounds takes
0.13 s and needs next to no memory. A graphics card that moves 960 GB/s makes at most 5,400 guesses a second, a card of
the same year about 15,000 with those rounds of PBKDF2 (https://tobtu.com/minimum-password-settings/), and hardware that
is built for guessing gains far less on scrypt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.exceptions import InternalError, InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_pem_private_key,
)

from devtls.errors import CertificateError, WrongPassphrase
from devtls.pki import der

if TYPE_CHECKING:
    from devtls.pki.signature import IssuerKey

SALT_BYTES = 16
IV_BYTES = 16

_LABEL = "ENCRYPTED PRIVATE KEY"  # RFC 7468 11
_PEM_MARK = f"-----BEGIN {_LABEL}-----".encode()
_COST = (1 << 14, 8, 8)  # N, r, p: see above
_KEY_BYTES = 32

_PBES2 = bytes.fromhex("06092a864886f70d01050d")  # RFC 8018 A.4
_SCRYPT = bytes.fromhex("06092b06010401da47040b")  # RFC 7914 7
_AES_256_CBC = bytes.fromhex("060960864801650304012a")  # RFC 8018 B.2.5

# The format of earlier versions: a header of 42 bytes, then PKCS #8 (DER) under AES-256-GCM with the tag; the header is
# the associated data. It is read until its key is locked again or the CA is renewed: with 128 MiB for a guess it is no
# weaker than the present one.
#
#     0-9    "devtls-key"
#     10     version, 1
#     11-13  log2 of scrypt's N, then r and p
#     14-29  salt
#     30-41  nonce
_V1_MARK = b"devtls-key"
_V1_VERSION = 1
_V1_COST = bytes((17, 8, 1))
_V1_VERSION_AT, _V1_SALT_AT, _V1_NONCE_AT, _V1_CONTENT_AT = 10, 14, 30, 42


def is_locked(content: bytes) -> bool:
    """Say whether `content` is a key under a passphrase, in any of the formats."""
    return content.startswith((_PEM_MARK, _V1_MARK))


def lock_key(key: IssuerKey, passphrase: str, *, salt: bytes, iv: bytes) -> bytes:
    """Return the container (PEM). `salt` and `iv` are fresh and random, SALT_BYTES and IV_BYTES long."""
    if (len(salt), len(iv)) != (SALT_BYTES, IV_BYTES):
        raise ValueError("a salt or an initialisation vector of another length")
    n, r, p = _COST
    padder, secret = PKCS7(AES.block_size).padder(), Scrypt(salt, _KEY_BYTES, n, r, p).derive(passphrase.encode())
    padded = padder.update(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())) + padder.finalize()
    encryptor = Cipher(AES(secret), CBC(iv)).encryptor()
    encrypted = encryptor.update(padded) + encryptor.finalize()
    # keyLength is left out, as OpenSSL leaves it out: the cipher's name says it.
    kdf = der.sequence(_SCRYPT, der.sequence(der.byte_string(salt), *map(der.integer, (n, r, p))))
    scheme = der.sequence(_PBES2, der.sequence(kdf, der.sequence(_AES_256_CBC, der.byte_string(iv))))
    return der.pem(_LABEL, der.sequence(scheme, der.byte_string(encrypted)))


def unlock_key(container: bytes, passphrase: str) -> IssuerKey:
    """Return the key; raises WrongPassphrase, or CertificateError for a file that holds no locked key."""
    unlock = _unlock_v1 if container.startswith(_V1_MARK) else _unlock_pkcs8
    key = unlock(container, passphrase)
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise CertificateError("The locked key is of a kind that no CA of devtls has.")
    return key


def _unlock_pkcs8(container: bytes, passphrase: str) -> object:
    if not _is_encrypted_pkcs8(container):
        raise CertificateError("The file holds no locked key, or a damaged one.")
    try:
        return load_pem_private_key(container, passphrase.encode())
    except (ValueError, UnsupportedAlgorithm, InternalError) as error:
        # CBC has no tag: a wrong passphrase shows as wrong padding, one in 256 times as content that is no key.
        raise _wrong_passphrase() from error


def _is_encrypted_pkcs8(container: bytes) -> bool:
    try:
        load_pem_private_key(container, None)
    except TypeError:  # it is sound as far as it can be read without a passphrase
        return True
    except (ValueError, UnsupportedAlgorithm):
        return False
    return False


def _unlock_v1(container: bytes, passphrase: str) -> object:
    header = container[:_V1_CONTENT_AT]
    if len(header) < _V1_CONTENT_AT:
        raise CertificateError("The file holds no locked key, or a damaged one.")
    if header[_V1_VERSION_AT] > _V1_VERSION:
        raise CertificateError("The key was locked by a later devtls.", hint="upgrade devtls")
    # Other costs are not tried: a changed header could ask scrypt for any amount of memory.
    if header[_V1_VERSION_AT:_V1_SALT_AT] != bytes((_V1_VERSION,)) + _V1_COST:
        raise CertificateError("The header of the locked key is damaged.")
    log_n, r, p = _V1_COST
    secret = Scrypt(header[_V1_SALT_AT:_V1_NONCE_AT], _KEY_BYTES, 1 << log_n, r, p).derive(passphrase.encode())
    try:
        content = AESGCM(secret).decrypt(header[_V1_NONCE_AT:], container[_V1_CONTENT_AT:], header)
        return load_der_private_key(content, None)
    except InvalidTag as error:
        raise _wrong_passphrase() from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CertificateError("The locked content is no private key.") from error


def _wrong_passphrase() -> WrongPassphrase:
    return WrongPassphrase("The passphrase is wrong, or the file was changed.", hint="try again")
