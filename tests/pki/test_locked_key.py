"""Keys under a passphrase: the bytes, two other readers, and everything that must not open."""

from __future__ import annotations

import shutil
import subprocess
from base64 import b64decode
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from devtls.errors import CertificateError, WrongPassphrase
from devtls.pki import locked_key
from devtls.pki.der import pem
from devtls.pki.locked_key import is_locked, lock_key, unlock_key

SALT, IV, PASSPHRASE = bytes(range(16)), bytes(range(16, 32)), "correct horse bättery"
GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def key() -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(77, ec.SECP256R1())


@pytest.fixture(scope="module")
def container(key: ec.EllipticCurvePrivateKey) -> bytes:
    return lock_key(key, PASSPHRASE, salt=SALT, iv=IV)


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not about the cost need not pay it."""
    monkeypatch.setattr(locked_key, "_COST", (16, 8, 1))
    monkeypatch.setattr(locked_key, "_V1_COST", bytes((4, 8, 1)))


def der_of(container: bytes) -> bytes:
    return b64decode(b"".join(container.split(b"\n")[1:-2]))


# -- the format --


def test_the_same_key_passphrase_salt_and_iv_give_the_same_bytes(container: bytes) -> None:
    assert container == (GOLDEN / "locked-key.pem").read_bytes()


def test_it_is_pkcs8_with_pbes2_scrypt_and_aes_256_cbc(container: bytes) -> None:
    encoded = der_of(container)
    assert bytes.fromhex("06092a864886f70d01050d") in encoded  # PBES2
    assert bytes.fromhex("06092b06010401da47040b") in encoded  # scrypt
    # N = 2^14, r = 8, p = 8: OpenSSL reads no larger N with r = 8 (32 MiB).
    assert bytes.fromhex("0410") + SALT + bytes.fromhex("02024000 020108 020108") in encoded
    assert bytes.fromhex("060960864801650304012a 0410") + IV in encoded


def test_it_is_locked_and_opens(key: ec.EllipticCurvePrivateKey, container: bytes) -> None:
    assert is_locked(container)
    assert not is_locked(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    opened = unlock_key(container, PASSPHRASE)
    assert opened.private_numbers() == key.private_numbers()


def test_cryptography_reads_it(key: ec.EllipticCurvePrivateKey, container: bytes) -> None:
    read = load_pem_private_key(container, PASSPHRASE.encode())
    assert isinstance(read, ec.EllipticCurvePrivateKey)
    assert read.private_numbers() == key.private_numbers()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command")
def test_openssl_reads_it_with_its_usual_memory_limit(
    key: ec.EllipticCurvePrivateKey, container: bytes, tmp_path: Path
) -> None:
    (tmp_path / "root.key").write_bytes(container)
    argv = ["openssl", "pkey", "-in", str(tmp_path / "root.key"), "-passin", f"pass:{PASSPHRASE}", "-pubout"]
    done = subprocess.run(argv, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command")
def test_a_key_that_openssl_locked_opens(key: ec.EllipticCurvePrivateKey, tmp_path: Path) -> None:
    plain, locked = tmp_path / "plain.key", tmp_path / "locked.key"
    plain.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    argv = ["openssl", "pkcs8", "-topk8", "-in", str(plain), "-out", str(locked), "-passout", f"pass:{PASSPHRASE}"]
    subprocess.run([*argv, "-scrypt"], capture_output=True, check=True)
    assert is_locked(locked.read_bytes())
    assert unlock_key(locked.read_bytes(), PASSPHRASE).public_key() == key.public_key()


@pytest.mark.usefixtures("cheap")
def test_rsa_keys_are_locked_as_well() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    opened = unlock_key(lock_key(key, PASSPHRASE, salt=SALT, iv=IV), PASSPHRASE)
    assert opened.public_key() == key.public_key()


@pytest.mark.parametrize(("salt", "iv"), [(b"short", IV), (SALT, b"short")])
def test_salt_and_iv_have_their_length(key: ec.EllipticCurvePrivateKey, salt: bytes, iv: bytes) -> None:
    with pytest.raises(ValueError, match="another length"):
        lock_key(key, PASSPHRASE, salt=salt, iv=iv)


# -- what does not open --


def test_another_passphrase_opens_nothing_and_says_so(container: bytes) -> None:
    with pytest.raises(WrongPassphrase, match="passphrase is wrong"):
        unlock_key(container, PASSPHRASE + " ")


@pytest.mark.usefixtures("cheap")
def test_many_wrong_passphrases_are_wrong_passphrases(key: ec.EllipticCurvePrivateKey) -> None:
    """One in 256 gives a padding that is right: then the content is no key."""
    container = lock_key(key, PASSPHRASE, salt=SALT, iv=IV)
    for number in range(1000):
        with pytest.raises(WrongPassphrase):
            unlock_key(container, f"wrong {number}")


@pytest.mark.usefixtures("cheap")
def test_a_changed_byte_gives_no_other_key(key: ec.EllipticCurvePrivateKey) -> None:
    encoded = der_of(lock_key(key, PASSPHRASE, salt=SALT, iv=IV))
    for place in range(len(encoded)):
        for bit in (1, 128):
            changed = encoded[:place] + bytes((encoded[place] ^ bit,)) + encoded[place + 1 :]
            with pytest.raises(CertificateError):
                unlock_key(pem("ENCRYPTED PRIVATE KEY", changed), PASSPHRASE)


@pytest.mark.usefixtures("cheap")
def test_a_missing_end_is_noticed(key: ec.EllipticCurvePrivateKey) -> None:
    encoded = der_of(lock_key(key, PASSPHRASE, salt=SALT, iv=IV))
    for end in range(len(encoded)):
        with pytest.raises(CertificateError, match="damaged"):
            unlock_key(pem("ENCRYPTED PRIVATE KEY", encoded[:end]), PASSPHRASE)


@pytest.mark.parametrize("content", [b"", b"-----BEGIN ENCRYPTED PRIVATE KEY-----", b"devtls-key", b"devtls"])
def test_a_file_without_a_locked_key_is_named(content: bytes) -> None:
    with pytest.raises(CertificateError, match="no locked key"):
        unlock_key(content, PASSPHRASE)


def test_an_unlocked_key_is_no_locked_one(key: ec.EllipticCurvePrivateKey) -> None:
    with pytest.raises(CertificateError, match="no locked key"):
        unlock_key(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), PASSPHRASE)


def test_the_key_must_be_of_a_kind_that_a_ca_can_have() -> None:
    locked = ed25519.Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSPHRASE.encode())
    )
    with pytest.raises(CertificateError, match="of a kind"):
        unlock_key(locked, PASSPHRASE)


# -- the format of earlier versions --


@pytest.fixture(scope="module")
def earlier() -> bytes:
    """Return a container as devtls 0.1 wrote it: scrypt with 128 MiB and AES-256-GCM."""
    return (GOLDEN / "locked-key.v1").read_bytes()


def lock_v1(content: bytes) -> bytes:
    """Return a container of the earlier format with cheap costs around `content`."""
    header = b"devtls-key\x01" + bytes((4, 8, 1)) + SALT + bytes(range(12))
    secret = Scrypt(SALT, 32, 16, 8, 1).derive(PASSPHRASE.encode())
    return header + AESGCM(secret).encrypt(bytes(range(12)), content, header)


def test_the_earlier_format_is_read(key: ec.EllipticCurvePrivateKey, earlier: bytes) -> None:
    assert is_locked(earlier)
    assert unlock_key(earlier, PASSPHRASE).private_numbers() == key.private_numbers()


@pytest.mark.usefixtures("cheap")
def test_a_changed_or_missing_byte_of_the_earlier_format_is_noticed(key: ec.EllipticCurvePrivateKey) -> None:
    container = lock_v1(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    assert unlock_key(container, PASSPHRASE).public_key() == key.public_key()
    for place in range(len(container)):
        changed = container[:place] + bytes((container[place] ^ 1,)) + container[place + 1 :]
        with pytest.raises(CertificateError):
            unlock_key(changed, PASSPHRASE)
    for end in range(len(container)):
        with pytest.raises(CertificateError):
            unlock_key(container[:end], PASSPHRASE)


def test_a_later_version_and_other_costs_are_refused_before_anything_is_computed(earlier: bytes) -> None:
    with pytest.raises(CertificateError, match="later devtls") as caught:
        unlock_key(earlier[:10] + b"\x02" + earlier[11:], PASSPHRASE)
    assert caught.value.hint == "upgrade devtls"
    with pytest.raises(CertificateError, match="damaged"):
        unlock_key(earlier[:11] + b"\xff" + earlier[12:], PASSPHRASE)  # scrypt would need 2^255 blocks


@pytest.mark.usefixtures("cheap")
def test_the_content_of_the_earlier_format_must_be_a_key_that_a_ca_can_have() -> None:
    with pytest.raises(CertificateError, match="no private key"):
        unlock_key(lock_v1(b"content"), PASSPHRASE)
    other = ed25519.Ed25519PrivateKey.generate()
    with pytest.raises(CertificateError, match="of a kind"):
        unlock_key(lock_v1(other.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())), PASSPHRASE)
