from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from devtls.errors import CertificateError, WrongPassphrase
from devtls.pki import locked_key
from devtls.pki.locked_key import is_locked, lock_key, unlock_key

SALT, NONCE, PASSPHRASE = bytes(range(16)), bytes(range(12)), "correct horse bättery"
HEADER = b"devtls-key\x01\x11\x08\x01" + SALT + NONCE


@pytest.fixture(scope="module")
def key() -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(77, ec.SECP256R1())


@pytest.fixture(scope="module")
def container(key: ec.EllipticCurvePrivateKey) -> bytes:
    return lock_key(key, PASSPHRASE, salt=SALT, nonce=NONCE)


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not about the cost need not pay it."""
    monkeypatch.setattr(locked_key, "_COST", bytes((4, 8, 1)))


def sealed(content: bytes) -> bytes:
    """Return a container whose content is `content`, as only a bug could write it."""
    header = HEADER[:11] + bytes((4, 8, 1)) + HEADER[14:]
    secret = Scrypt(SALT, 32, 16, 8, 1).derive(PASSPHRASE.encode())
    return header + AESGCM(secret).encrypt(NONCE, content, header)


def test_the_format_is_scrypt_and_aes_gcm_over_pkcs8_with_an_authenticated_head(
    key: ec.EllipticCurvePrivateKey, container: bytes
) -> None:
    assert container[:42] == HEADER
    secret = Scrypt(salt=SALT, length=32, n=2**17, r=8, p=1).derive(PASSPHRASE.encode())
    content = AESGCM(secret).decrypt(NONCE, container[42:], HEADER)
    assert content == key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    assert is_locked(container)
    assert unlock_key(container, PASSPHRASE).private_numbers() == key.private_numbers()


def test_another_passphrase_opens_nothing(container: bytes) -> None:
    with pytest.raises(WrongPassphrase):
        unlock_key(container, PASSPHRASE + " ")


@pytest.mark.usefixtures("cheap")
def test_every_changed_or_missing_octet_is_noticed(key: ec.EllipticCurvePrivateKey) -> None:
    container = lock_key(key, PASSPHRASE, salt=SALT, nonce=NONCE)
    for place in range(len(container)):
        changed = container[:place] + bytes((container[place] ^ 1,)) + container[place + 1 :]
        with pytest.raises(CertificateError):
            unlock_key(changed, PASSPHRASE)
    for end in range(len(container)):
        with pytest.raises(CertificateError):
            unlock_key(container[:end], PASSPHRASE)


@pytest.mark.usefixtures("cheap")
def test_rsa_keys_are_kept_as_well() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    opened = unlock_key(lock_key(key, PASSPHRASE, salt=SALT, nonce=NONCE), PASSPHRASE)
    assert opened.public_key() == key.public_key()


def test_a_later_version_and_costs_of_somebody_else_are_refused_before_anything_is_computed(container: bytes) -> None:
    with pytest.raises(CertificateError, match="later devtls") as caught:
        unlock_key(container[:10] + b"\x02" + container[11:], PASSPHRASE)
    assert caught.value.hint == "upgrade devtls"
    with pytest.raises(CertificateError, match="damaged"):
        unlock_key(container[:11] + b"\xff" + container[12:], PASSPHRASE)  # scrypt would need 2^255 blocks


@pytest.mark.parametrize("content", [b"", b"-----BEGIN PRIVATE KEY-----", b"devtls-key"])
def test_what_is_no_container_is_named(content: bytes) -> None:
    with pytest.raises(CertificateError, match="no locked key"):
        unlock_key(content, PASSPHRASE)


@pytest.mark.usefixtures("cheap")
def test_what_was_locked_must_be_a_key_that_a_ca_can_have() -> None:
    with pytest.raises(CertificateError, match="no key"):
        unlock_key(sealed(b"content"), PASSPHRASE)
    other = ed25519.Ed25519PrivateKey.generate()
    with pytest.raises(CertificateError, match="another kind"):
        unlock_key(sealed(other.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())), PASSPHRASE)


def test_salt_and_nonce_have_their_length(key: ec.EllipticCurvePrivateKey) -> None:
    with pytest.raises(ValueError, match="another length"):
        lock_key(key, PASSPHRASE, salt=b"short", nonce=NONCE)
