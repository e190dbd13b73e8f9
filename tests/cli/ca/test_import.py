"""`devtls ca import`: CAs of other tools, and of a colleague, brought along as files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from devtls.cli.terminal import passphrase as asking
from devtls.cli.terminal import prompts
from devtls.errors import ExitCode
from devtls.names import DEFAULT_ZONES
from devtls.pki import locked_key
from devtls.pki.authority import Authority
from devtls.system.changes.clientenv.variables import BUNDLE_FILE
from devtls.system.storage.keystore import Keystore
from devtls.system.storage.locked_key import LockedKey
from tests.cli.shell import Shell
from tests.pki.elsewhere import Made, company, make, mkcert, step_ca
from tests.system.storage.power_cut import calls_of, crash

PASSPHRASE = "correct horse battery"


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locked_key, "_COST", (16, 8, 1))


@pytest.fixture
def files(tmp_path: Path) -> Callable[..., tuple[str, ...]]:
    """Return a function that writes a CA and what is above it, and gives the options that name the files."""

    def write(
        issuer: Made, *above: Made, encryption: KeySerializationEncryption | None = None, form: Encoding = Encoding.PEM
    ) -> tuple[str, ...]:
        certificate, key, chain = (tmp_path / name for name in ("ca.crt", "ca.key", "chain.pem"))
        certificate.write_bytes(issuer.certificate.public_bytes(form))
        key.write_bytes(issuer.key.private_bytes(form, PrivateFormat.PKCS8, encryption or NoEncryption()))
        chain.write_bytes(b"".join(each.certificate.public_bytes(Encoding.PEM) for each in above))
        return ("--cert", str(certificate), "--key", str(key), *(("--chain", str(chain)) if above else ()))

    return write


@pytest.fixture
def given(tmp_path: Path) -> Iterator[str]:
    path = tmp_path / "passphrase"
    path.write_text(PASSPHRASE)
    descriptor = os.open(path, os.O_RDONLY)
    yield str(descriptor)
    os.close(descriptor)


def present(shell: Shell) -> Authority:
    return Keystore(shell.state).load(datetime.now(UTC))


def bring(shell: Shell, *options: str) -> str:
    return shell.succeed("ca", "import", "--yes", *options).stderr


def test_mkcerts_root_is_taken_with_a_loud_warning_and_trusted(
    shell: Shell, files: Callable[..., tuple[str, ...]]
) -> None:
    made = mkcert()
    options = files(made)
    error = shell.fail(ExitCode.REFUSED, "ca", "import", "--yes", *options)
    assert "--unconstrained" in error.hint
    assert not Keystore(shell.state).exists()
    said = bring(shell, "--unconstrained", *options)
    assert "NOTHING LIMITS THIS CA" in said
    assert "signs leaves itself" in said
    authority = present(shell)
    assert (authority.root, authority.zones) == (made.certificate, DEFAULT_ZONES)
    result = shell.succeed("trust", "--yes")
    assert "NOTHING LIMITS IT" in result.stderr
    assert "nothing limits this CA" not in result.stderr
    assert authority.root_pem in shell.bundle.read_bytes()
    assert "pose as any site on earth" in " ".join(shell.succeed("ca").stdout.split())
    values = json.loads(shell.succeed("ca", "--json").stdout)
    assert (values["imported"], values["fenced"], values["name"]) == (True, False, "mkcert me@laptop")
    assert "was made elsewhere" in shell.succeed("ca", "root-key").stdout
    assert "was made elsewhere" in str(shell.fail(ExitCode.REFUSED, "ca", "intermediate"))
    shell.succeed("untrust", "--yes", "--forget")
    assert authority.root_pem not in shell.bundle.read_bytes()
    assert not shell.state.exists()


def test_a_client_is_not_shown_a_foreign_name_that_it_would_believe(
    shell: Shell, files: Callable[..., tuple[str, ...]]
) -> None:
    bring(shell, "--unconstrained", *files(mkcert()))
    values = json.loads(shell.succeed("trust", "--yes", "--json").stdout)
    assert [client["foreign"] for client in values["clients"]] == ["not tried"]


def test_an_imported_ca_takes_over_from_the_present_one_and_the_other_way_round(
    shell: Shell, files: Callable[..., tuple[str, ...]]
) -> None:
    shell.succeed("trust", "--yes")
    own, (root, policy, issuing) = present(shell), company()
    said = bring(shell, *files(issuing, policy, root))
    assert "NOTHING LIMITS" not in said
    authority = present(shell)
    assert (authority.path[0], authority.zones) == (issuing.certificate, ("dev.corp.example",))
    assert authority.pki_port == own.pki_port
    assert authority.root_pem in shell.bundle.read_bytes()
    assert own.root_pem in shell.bundle.read_bytes()
    shell.succeed("ca", "renew", "--yes")
    again = present(shell)
    assert (again.imported, again.zones) == (False, ("dev.corp.example",))
    shell.succeed("ca", "retire", "--yes")
    assert authority.root_pem not in shell.bundle.read_bytes()
    assert again.root_pem in shell.bundle.read_bytes()


def test_the_next_intermediate_of_the_same_root_takes_over_without_a_store_being_asked(
    shell: Shell, files: Callable[..., tuple[str, ...]]
) -> None:
    root, first = step_ca()
    bring(shell, "--unconstrained", *files(first, root))
    shell.succeed("trust", "--yes")
    before = present(shell)
    assert "present one already" in str(
        shell.fail(ExitCode.REFUSED, "ca", "import", "--yes", "--unconstrained", *files(first, root))
    )
    second = make("Smallstep Intermediate CA", by=root, path_length=0)
    bring(shell, "--unconstrained", *files(second, root))
    after, keystore = present(shell), Keystore(shell.state)
    assert after.path == (second.certificate, root.certificate)
    assert not keystore.is_current(before.signer)
    assert keystore.is_current(after.signer)
    shell.succeed("ca", "retire", "--yes")
    assert not keystore.directory_of(before).exists()
    assert after.root_pem in shell.bundle.read_bytes()


def test_what_lies_between_issuer_and_root_goes_into_certificate_files(
    shell: Shell, files: Callable[..., tuple[str, ...]], tmp_path: Path
) -> None:
    root, policy, issuing = company()
    bring(shell, *files(issuing, policy, root))
    for options, above in (((), [issuing, policy]), (("--fullchain", "--force"), [issuing, policy, root])):
        shell.succeed("cert", "app.dev.corp.example", "--out", str(tmp_path), *options)
        _, *chain = x509.load_pem_x509_certificates((tmp_path / "app.dev.corp.example.pem").read_bytes())
        assert chain == [each.certificate for each in above]


def test_a_root_that_signs_itself_goes_into_files_on_demand_alone(
    shell: Shell, files: Callable[..., tuple[str, ...]], tmp_path: Path
) -> None:
    made = mkcert()
    bring(shell, "--unconstrained", *files(made))
    shell.succeed("cert", "app.test", "--out", str(tmp_path))
    assert len(x509.load_pem_x509_certificates((tmp_path / "app.test.pem").read_bytes())) == 1
    shell.succeed("cert", "app.test", "--out", str(tmp_path), "--fullchain", "--force")
    chain = x509.load_pem_x509_certificates((tmp_path / "app.test.pem").read_bytes())
    assert chain[1:] == [made.certificate]


def test_a_colleagues_intermediate_comes_with_the_port_of_its_list(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    monkeypatch.setenv("DEVTLS_STATE_DIR", str(elsewhere))
    shell.succeed("trust", "--yes", "--store", "nss", "--keep-root-key", "--passphrase-fd", given)
    theirs = Keystore(elsewhere).load(datetime.now(UTC))
    os.lseek(int(given), 0, os.SEEK_SET)
    out = tmp_path / "issued"
    shell.succeed("ca", "intermediate", "--zone", "test", "--out", str(out), "--passphrase-fd", given)
    monkeypatch.setenv("DEVTLS_STATE_DIR", str(shell.state))
    key = next(out.glob("*-key.pem"))
    certificate = key.with_name(key.name.replace("-key", ""))
    root, crl = next(out.glob("devtls-root-*.pem")), next(out.glob("*.crl"))
    said = bring(shell, "--cert", str(certificate), "--key", str(key), "--chain", str(root), "--crl", str(crl))
    authority = present(shell)
    assert (authority.zones, authority.pki_port, authority.name_constrained) == (("test",), theirs.pki_port, True)
    assert (authority.root_crl_der, authority.root) == (theirs.root_crl_der, theirs.root)
    assert said.count("  * ") == 1  # its end


@pytest.mark.parametrize("form", [Encoding.PEM, Encoding.DER])
def test_an_encrypted_key_is_opened_by_its_passphrase(
    shell: Shell, files: Callable[..., tuple[str, ...]], given: str, form: Encoding, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, issuer = step_ca()
    options = files(issuer, root, encryption=BestAvailableEncryption(PASSPHRASE.encode()), form=form)
    assert "no terminal" in str(shell.fail(ExitCode.REFUSED, "ca", "import", "--yes", "--unconstrained", *options))
    monkeypatch.setattr(asking, "_is_terminal", lambda: True)
    monkeypatch.setattr("getpass.getpass", lambda _question: "wrong")
    shell.fail(ExitCode.STATE, "ca", "import", "--yes", "--unconstrained", *options)
    bring(shell, "--unconstrained", *options, "--passphrase-fd", given)
    assert present(shell).path[0] == issuer.certificate


def test_unusable_files_are_refused(shell: Shell, files: Callable[..., tuple[str, ...]], tmp_path: Path) -> None:
    certificate, key = files(mkcert())[1::2]
    (tmp_path / "junk").write_bytes(b"junk")
    other = ed25519.Ed25519PrivateKey.generate()
    (tmp_path / "ed").write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    for options, code, why in (
        (("--cert", str(tmp_path / "none"), "--key", key), ExitCode.STATE, "cannot be read"),
        (("--cert", str(tmp_path / "junk"), "--key", key), ExitCode.STATE, "holds no certificate"),
        (("--cert", certificate, "--key", str(tmp_path / "junk")), ExitCode.STATE, "holds no key"),
        (("--cert", certificate, "--key", str(tmp_path / "ed")), ExitCode.STATE, "of a kind that no browser takes"),
        (("--cert", certificate, "--key", key, "--zone", "com"), ExitCode.CONFIG, "top-level domain"),
    ):
        assert why in str(shell.fail(code, "ca", "import", "--yes", "--unconstrained", *options))
    assert not shell.state.exists()


@pytest.mark.parametrize("unconstrained", [True, False])
def test_a_terminal_is_asked(
    shell: Shell, files: Callable[..., tuple[str, ...]], monkeypatch: pytest.MonkeyPatch, unconstrained: bool
) -> None:
    monkeypatch.setattr(prompts, "is_terminal", lambda: True)
    root, policy, issuing = company()
    options = files(mkcert()) if unconstrained else files(issuing, policy, root)
    shell.fail(ExitCode.REFUSED, "ca", "import", *options, answer="n\n")
    assert not shell.state.exists()
    shell.succeed("ca", "import", *options, answer="y\n")
    assert present(shell).imported


def test_json_is_one_document(shell: Shell, files: Callable[..., tuple[str, ...]]) -> None:
    root, policy, issuing = company()
    options = (*files(issuing, policy, root), "--json")
    values = json.loads(shell.succeed("ca", "import", "--yes", *options).stdout)
    assert (values["fenced"], values["root"]["zones"]) == (True, ["dev.corp.example"])
    assert values["differences"]


def test_the_successor_of_a_locked_ca_is_locked_as_well(
    shell: Shell, files: Callable[..., tuple[str, ...]], given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.succeed("trust", "--yes")
    shell.succeed("ca", "lock", "--passphrase-fd", given)
    monkeypatch.setattr(asking, "_is_terminal", lambda: True)
    monkeypatch.setattr("getpass.getpass", lambda _question: PASSPHRASE)
    bring(shell, "--unconstrained", *files(mkcert()))
    keystore = Keystore(shell.state, asking.terminal_passphrases())
    authority = keystore.load(datetime.now(UTC))
    assert isinstance(authority.intermediate.key, LockedKey)
    assert keystore.load_signer(datetime.now(UTC)).key.public_key() == authority.root.public_key()


def test_a_crash_while_a_ca_is_adopted_leaves_the_old_one_signing(
    shell: Shell, files: Callable[..., tuple[str, ...]]
) -> None:
    shell.succeed("trust", "--yes", "--store", "nss")
    own, keystore, now = present(shell), Keystore(shell.state), datetime.now(UTC)
    bring(shell, "--unconstrained", *files(mkcert()))
    imported = present(shell)
    keystore.forget()
    keystore.create(own.zones, now)
    total = calls_of(lambda: keystore.adopt(imported, now))
    keystore.drop_next()
    before = keystore.fingerprint_on_disk()
    for stop_at in range(1, total + 1):
        crash(stop_at, partial(keystore.adopt, imported, now))
        assert keystore.load(now).fingerprint == before
        keystore.drop_next()
        assert len(list(shell.state.glob("ca-????????"))) == 1
    assert not keystore.adopt(imported, now)
    keystore.switch_to_next(imported)
    assert keystore.load(now).root == imported.root


def test_untrust_takes_an_imported_root_out_of_the_lists_that_variables_name(
    shell: Shell, files: Callable[..., tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    bring(shell, "--unconstrained", *files(mkcert()))
    shell.succeed("trust", "--yes")
    authority, bundle = present(shell), shell.state / BUNDLE_FILE
    assert authority.root_pem in bundle.read_bytes()
    monkeypatch.setenv("CURL_CA_BUNDLE", str(bundle))
    shell.succeed("untrust", "--yes")
    assert authority.root_pem not in (bundle.read_bytes() if bundle.exists() else b"")


def test_without_files_it_shows_examples(shell: Shell) -> None:
    result = shell.run("ca", "import", "--yes")
    assert result.exit_code == ExitCode.USAGE or "devtls ca import --cert" in f"{result.output}{result.exception}"
