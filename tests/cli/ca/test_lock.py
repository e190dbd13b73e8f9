"""The key that signs, under a passphrase."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from devtls.errors import DevtlsError, ExitCode
from devtls.system.storage.generation import plain_key
from devtls.system.storage.keystore import Keystore
from devtls.system.storage.locked_key import LockedKey
from devtls.system.storage.passphrase import PassphraseSource
from tests.cli.ca.passphrases import PASSPHRASE, keys_on_disk, present
from tests.cli.shell import Shell


def test_a_locked_key_signs_only_with_its_passphrase_and_comes_back_as_it_was(
    shell: Shell, given: Callable[[str], str]
) -> None:
    shell.succeed("trust", "--yes")
    before = present(shell)
    shell.succeed("ca", "lock", "--passphrase-fd", given(PASSPHRASE))
    assert keys_on_disk(shell) == []
    assert json.loads(shell.succeed("ca", "--json").stdout)["locked"] is True
    assert "unless they find out the passphrase" in " ".join(shell.succeed("ca").stdout.split())
    keystore = Keystore(shell.state)
    locked = keystore.load(datetime.now(UTC))
    assert isinstance(locked.intermediate.key, LockedKey)
    assert locked.signer.fingerprint == before.fingerprint
    with pytest.raises(DevtlsError, match="nobody to ask") as caught:
        locked.intermediate_crl(number=9, this_update=datetime.now(UTC))
    assert "--passphrase-fd" in caught.value.hint
    keystore.passphrases = PassphraseSource(int(given(PASSPHRASE)))
    assert Keystore(shell.state).fingerprint_on_disk() == before.fingerprint
    opened = Keystore(shell.state)
    opened.passphrases = PassphraseSource(int(given(PASSPHRASE)))
    signer = opened.load_signer(datetime.now(UTC))
    assert not isinstance(signer.key, LockedKey)
    assert signer.key.public_key() == before.intermediate.key.public_key()
    assert "locked already" in str(shell.fail(ExitCode.REFUSED, "ca", "lock"))
    shell.succeed("ca", "unlock", "--passphrase-fd", given(PASSPHRASE))
    assert keys_on_disk(shell) == ["client-intermediate.key", "intermediate.key"]
    assert present(shell).intermediate.key.public_key() == before.intermediate.key.public_key()
    assert "not locked" in str(shell.fail(ExitCode.REFUSED, "ca", "unlock"))


def test_the_keys_of_both_intermediates_are_locked_and_signing_asks_once(
    shell: Shell, given: Callable[[str], str], terminal: list[str]
) -> None:
    shell.succeed("trust", "--yes")
    shell.succeed("ca", "lock", "--passphrase-fd", given(PASSPHRASE))
    assert all(isinstance(each.key, LockedKey) for each in present(shell).intermediates)
    for options in ((), ("--client",)):
        terminal[:] = [PASSPHRASE]
        shell.succeed("cert", "a.test", "--out", str(shell.state.parent), "--force", *options)
        assert terminal == []
    terminal[:] = [PASSPHRASE]
    shell.succeed("revoke", "a.test")  # two CRLs, one question
    assert terminal == []


def test_a_lock_that_was_interrupted_goes_on(shell: Shell, given: Callable[[str], str], terminal: list[str]) -> None:
    shell.succeed("trust", "--yes")
    plain = present(shell)
    shell.succeed("ca", "lock", "--passphrase-fd", given(PASSPHRASE))
    other = plain.issuer_for("client")
    Keystore(shell.state).put_keys(plain, {other.name: plain_key(other.key)})
    assert keys_on_disk(shell) == ["client-intermediate.key"]
    terminal[:] = [PASSPHRASE, PASSPHRASE, PASSPHRASE]  # the old one, and the new one twice
    shell.succeed("ca", "lock")
    assert keys_on_disk(shell) == []
    shell.succeed("ca", "unlock", "--passphrase-fd", given(PASSPHRASE))
    assert keys_on_disk(shell) == ["client-intermediate.key", "intermediate.key"]


def test_the_terminal_is_asked_three_times_and_only_when_something_is_signed(shell: Shell, terminal: list[str]) -> None:
    terminal[:] = [PASSPHRASE, PASSPHRASE]
    shell.succeed("trust", "--yes", "--store", "nss")
    shell.succeed("ca", "lock")
    shell.succeed("ca")
    shell.succeed("env")
    terminal[:] = ["wrong", "wrong again", PASSPHRASE]
    shell.succeed("trust", "--yes", "--store", "nss")  # its proof signs
    assert terminal == []
    terminal[:] = ["1", "2", "3"]
    assert "None of them" in str(shell.fail(ExitCode.STATE, "ca", "unlock"))


def test_the_successor_of_a_locked_ca_is_locked_in_the_same_way(
    shell: Shell, terminal: list[str], given: Callable[[str], str]
) -> None:
    shell.succeed("trust", "--yes")
    shell.succeed("ca", "lock", "--passphrase-fd", given(PASSPHRASE))
    terminal[:] = [PASSPHRASE]
    shell.succeed("ca", "renew", "--yes")
    assert (terminal, keys_on_disk(shell)) == ([], [])
    shell.succeed("ca", "unlock", "--passphrase-fd", given(PASSPHRASE))
