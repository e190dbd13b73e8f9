"""The files that variables of clients name are written for a trusted CA and kept in step with it."""

from __future__ import annotations

import pytest

from devtls.doctor.clients import CLIENTS
from devtls.errors import NoAuthority, Refused, StateError
from devtls.operations.client_environment import file_for, list_roots, prepare_environment, write_root_file
from devtls.operations.context import Context
from devtls.operations.trust import TrustRequest, apply_trust, plan_trust
from devtls.operations.untrust import UntrustRequest, apply_untrust, plan_untrust
from devtls.system.changes.clientenv import probe
from devtls.system.changes.clientenv.present import present_root
from devtls.system.changes.clientenv.variables import BUNDLE_FILE, ROOT_FILE
from devtls.system.changes.truststore.root import certificates_in
from tests.system.changes.clientenv.conftest import CORPORATE_PEM, PUBLIC
from tests.system.machine.small_debian import SmallDebian

CURL, NODE = (next(client for client in CLIENTS if client.name == name) for name in ("curl", "node"))


@pytest.fixture
def trusted(context: Context) -> Context:
    apply_trust(context, plan_trust(context, TrustRequest(stores=("nss",))))
    return context


def test_variables_name_files_that_are_there(trusted: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "system_certificates", lambda _: [PUBLIC])
    environment = prepare_environment(trusted)
    root = present_root(trusted.keystore, trusted.keystore.load(trusted.now))
    assert environment.variables["NODE_EXTRA_CA_CERTS"] == str(trusted.paths.state_dir / ROOT_FILE)
    assert list(certificates_in((trusted.paths.state_dir / BUNDLE_FILE).read_bytes())) == [PUBLIC, root.der]


def test_without_a_ca_and_after_untrust_there_are_none(context: Context) -> None:
    with pytest.raises(NoAuthority):
        prepare_environment(context)
    apply_trust(context, plan_trust(context, TrustRequest()))
    apply_untrust(context, plan_untrust(context, UntrustRequest()))
    with pytest.raises(Refused):
        prepare_environment(context)


def test_the_list_of_roots_is_not_written_again_after_untrust(trusted: Context) -> None:
    root, file = present_root(trusted.keystore, trusted.keystore.load(trusted.now)), trusted.paths.state_dir / ROOT_FILE
    file.write_bytes(b"")
    list_roots(trusted, root)
    assert file.read_bytes() == root.list_pem
    file.unlink()
    list_roots(trusted, root)
    assert not file.exists()


def test_a_file_that_cannot_be_written_is_an_error(trusted: Context) -> None:
    file = trusted.paths.state_dir / ROOT_FILE
    file.unlink()
    file.mkdir()
    with pytest.raises(StateError, match="cannot be written"):
        write_root_file(trusted, b"")


def test_each_client_gets_the_file_that_its_variable_needs(
    trusted: Context, debian: SmallDebian, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = present_root(trusted.keystore, trusted.keystore.load(trusted.now))
    assert file_for(NODE, root, trusted) == debian.state / ROOT_FILE
    assert file_for(CURL, root, trusted) == debian.state / BUNDLE_FILE
    own = debian.machine.home / "company.pem"
    own.write_bytes(CORPORATE_PEM)
    monkeypatch.setenv("CURL_CA_BUNDLE", str(own))
    extended = file_for(CURL, root, trusted)
    assert extended == debian.state / "ca-bundle-CURL_CA_BUNDLE.pem"
    assert extended.read_bytes() == own.read_bytes() + root.pem
