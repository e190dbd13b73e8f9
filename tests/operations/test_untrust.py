"""Untrust without a command line: a plan names all that would go and stay, a result all that is left."""

from __future__ import annotations

import pytest

from devtls.errors import DevtlsError
from devtls.operations.context import Context
from devtls.operations.trust import TrustRequest, apply_trust, plan_trust
from devtls.operations.untrust import UntrustRequest, apply_untrust, plan_untrust
from devtls.system.changes.clientenv.variables import BUNDLE_FILE, ROOT_FILE
from tests.operations.recording import RecordingReporter
from tests.system.machine.small_debian import SmallDebian


@pytest.fixture
def trusted(context: Context) -> Context:
    apply_trust(context, plan_trust(context, TrustRequest()))
    return context


def test_a_plan_changes_nothing(trusted: Context, debian: SmallDebian) -> None:
    before = debian.bundle.read_bytes()
    plan = plan_untrust(trusted, UntrustRequest(forget=True))
    assert (plan.changes_stores, plan.deletes_authority, plan.has_work) == (True, True, True)
    assert plan.authority is not None
    assert plan.fingerprints == {plan.authority.fingerprint}
    assert debian.bundle.read_bytes() == before
    assert not plan_untrust(trusted, UntrustRequest()).deletes_authority


def test_the_root_goes_and_the_ca_stays(trusted: Context, debian: SmallDebian) -> None:
    result = apply_untrust(trusted, plan_untrust(trusted, UntrustRequest()))
    result.raise_for_failure()
    assert [store.changed for store in result.stores] == [True, True]
    assert (result.changed_a_browser, result.forgotten, result.kept) == (True, False, ())
    assert trusted.keystore.exists()
    assert not (debian.state / ROOT_FILE).exists()
    again = plan_untrust(trusted, UntrustRequest())
    assert not again.has_work
    apply_untrust(trusted, again).raise_for_failure()


def test_one_store_alone_leaves_the_files_of_clients(trusted: Context, debian: SmallDebian) -> None:
    result = apply_untrust(trusted, plan_untrust(trusted, UntrustRequest(stores=("nss",))))
    assert len(result.stores) == 1
    assert (debian.state / ROOT_FILE).exists()


def test_forgetting_deletes_the_ca_and_names_the_variables_that_remain(
    trusted: Context, debian: SmallDebian, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(debian.state / BUNDLE_FILE))
    result = apply_untrust(trusted, plan_untrust(trusted, UntrustRequest(forget=True)))
    assert (result.forgotten, result.variables) == (True, ("SSL_CERT_FILE",))
    assert result.kept == (f"{BUNDLE_FILE} (a variable of your shell names it)",)
    nothing = plan_untrust(trusted, UntrustRequest(forget=True))
    assert (nothing.deletes_authority, nothing.authority) == (False, None)
    assert not apply_untrust(trusted, nothing).forgotten


def test_a_damaged_ca_is_reported_and_its_root_is_found_by_the_record(
    trusted: Context, debian: SmallDebian, reporter: RecordingReporter
) -> None:
    (debian.state / "ca.current").write_text("{")
    plan = plan_untrust(trusted, UntrustRequest(forget=True))
    assert (plan.changes_stores, plan.deletes_authority, plan.authority) == (True, True, None)
    (warning,) = reporter.of("warning")
    assert warning.endswith("Going by the record instead.")
    apply_untrust(trusted, plan).raise_for_failure()


def test_a_result_raises_when_a_store_keeps_the_root(trusted: Context, debian: SmallDebian) -> None:
    debian.tool("usr/sbin/update-ca-certificates", "exit 1")
    result = apply_untrust(trusted, plan_untrust(trusted, UntrustRequest()))
    with pytest.raises(DevtlsError, match="System store may still hold the root"):
        result.raise_for_failure()


def test_roots_of_an_earlier_ca_remain_unless_every_root_is_asked_for(trusted: Context) -> None:
    earlier = trusted.keystore.load(trusted.now)
    trusted.keystore.forget()
    for entry in trusted.record.entries():
        trusted.record.drop(entry.part, entry.name)
    apply_trust(trusted, plan_trust(trusted, TrustRequest()))
    plan = plan_untrust(trusted, UntrustRequest())
    assert {names for _, names in plan.remaining_own_roots} == {(f"devtls root {earlier.id}",)}
    every = plan_untrust(trusted, UntrustRequest(every_root=True))
    assert every.remaining_own_roots == ()
    assert earlier.fingerprint in every.fingerprints
