"""PKCS #12 files of a key: other programs read them, and no way to guess the passphrase is cheaper than another."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12

from devtls.pki.authority import Authority
from devtls.pki.pkcs12 import ENCRYPTION_ROUNDS, MAC_ROUNDS, mac_key, write_key_file
from tests.conftest import RequireTool
from tests.pki.conftest import fixed_key

SALT = bytes(range(16))


@pytest.mark.parametrize("passphrase", ["secret", "größer als \u4e2d", "x" * 200])
def test_key_and_chain_are_read_back_with_the_passphrase_alone(authority: Authority, passphrase: str) -> None:
    key = fixed_key(1002)
    chain = [authority.intermediate.certificate, authority.root]
    content = write_key_file(key, chain, "app.dev.local", passphrase.encode(), SALT)
    read = load_pkcs12(content, passphrase.encode())
    assert isinstance(read.key, ec.EllipticCurvePrivateKey)
    assert read.key.private_numbers() == key.private_numbers()
    assert read.cert is not None
    assert [read.cert.certificate, *(each.certificate for each in read.additional_certs)] == chain
    with pytest.raises(ValueError, match="password"):
        load_pkcs12(content, b"other")


def test_a_guess_costs_as_much_at_the_mac_as_at_the_encryption(
    authority: Authority, tmp_path: Path, require_tool: RequireTool
) -> None:
    openssl = require_tool("openssl", "apt-get install openssl")
    file = tmp_path / "key.p12"
    chain = [authority.intermediate.certificate, authority.root]
    file.write_bytes(write_key_file(fixed_key(1002), chain, "app.dev.local", b"secret", SALT))
    argv = [openssl, "pkcs12", "-in", str(file), "-info", "-noout", "-passin", "pass:secret"]
    told = subprocess.run(argv, check=True, capture_output=True, text=True).stderr
    assert f"MAC: sha256, Iteration {MAC_ROUNDS}\n" in told
    rounds = [int(found) for found in re.findall(r"AES-256-CBC, Iteration (\d+), PRF hmacWithSHA256", told)]
    assert rounds == [ENCRYPTION_ROUNDS] * 2
    # PBKDF2 computes two digests in each round (RFC 8018 5.2, RFC 2104), the MAC's derivation one.
    assert 2 * ENCRYPTION_ROUNDS <= MAC_ROUNDS


def test_the_key_of_the_mac_is_derived_as_the_rfc_says() -> None:
    # openssl kdf -keylen 32 -kdfopt digest:SHA256 -kdfopt hexpass:0073006500630072006500740000 -kdfopt id:3
    #   -kdfopt iter:2 -kdfopt hexsalt:000102030405060708090a0b0c0d0e0f PKCS12KDF
    told = "da747ab857b1c2585a67243953b57b2e66461d5a0d968f6d308e2ae3fd7e1159"
    assert mac_key(b"secret", SALT, 2).hex() == told
