"""Trust without a command line: a plan changes nothing, and a result says whether it was enough."""

from __future__ import annotations

from dataclasses import replace

import pytest

from devtls.errors import Refused, TrustFailed, UnknownStore
from devtls.names import DEFAULT_ZONES, Hostname
from devtls.operations.context import Context
from devtls.operations.trust import TrustRequest, apply_trust, create_authority, plan_trust
from devtls.system.changes.clientenv.variables import ROOT_FILE
from devtls.system.storage.keystore import Keystore
from tests.operations.recording import RecordingReporter
from tests.system.machine.small_debian import HANDSHAKE, SmallDebian

CORP = (Hostname("corp.dev"),)


def test_a_plan_writes_nothing_and_has_a_placeholder_for_the_root(context: Context, debian: SmallDebian) -> None:
    plan = plan_trust(context, TrustRequest(zones=CORP))
    assert (plan.authority, plan.root.id, plan.zones, plan.created) == (None, "ID", CORP, False)
    assert not debian.state.exists()
    assert not debian.nss.exists()


def test_without_zones_those_of_every_new_ca_are_planned(context: Context) -> None:
    assert plan_trust(context, TrustRequest()).zones == DEFAULT_ZONES


def test_the_ca_can_be_created_before_a_person_is_asked(context: Context, debian: SmallDebian) -> None:
    plan = create_authority(context, plan_trust(context, TrustRequest(zones=CORP)))
    assert plan.authority is not None
    assert (plan.created, plan.root.id, plan.zones) == (True, plan.authority.id, CORP)
    assert (debian.state / ROOT_FILE).read_bytes() == plan.root.pem
    assert not debian.nss.exists()
    result = apply_trust(context, plan)
    assert (result.authority, result.trusted) == (plan.authority, True)
    again = create_authority(context, plan_trust(context, TrustRequest()))
    assert (again.created, again.has_work) == (False, False)


def test_applying_creates_the_ca_and_writes_the_file_that_the_commands_name(
    context: Context, debian: SmallDebian
) -> None:
    result = apply_trust(context, plan_trust(context, TrustRequest()))
    assert result.changed_a_browser
    (debian.state / ROOT_FILE).unlink()
    debian.bundle.write_bytes(b"")
    (debian.machine.root / "usr/local/share/ca-certificates" / f"devtls-{result.authority.id}.crt").unlink()
    again = apply_trust(context, plan_trust(context, TrustRequest()))
    assert again.trusted
    assert [store.changed for store in again.stores] == [True, False]


def test_progress_is_reported_store_by_store(context: Context, reporter: RecordingReporter) -> None:
    result = apply_trust(context, plan_trust(context, TrustRequest(stores=("nss",))))
    assert reporter.calls == [("begin", store.label) for store in result.stores]
    assert len(result.stores) == 1


def test_what_cannot_be_is_refused_before_a_ca_is_created(context: Context) -> None:
    with pytest.raises(UnknownStore):
        plan_trust(context, TrustRequest(stores=("java",)))
    assert not context.keystore.exists()
    apply_trust(context, plan_trust(context, TrustRequest(zones=CORP)))
    with pytest.raises(Refused, match=r"other\.dev needs a new one"):
        plan_trust(context, TrustRequest(zones=(Hostname("other.dev"),)))


def test_a_ca_of_another_process_is_refused_when_its_zones_are_others(context: Context) -> None:
    plan = plan_trust(context, TrustRequest(zones=CORP))
    Keystore(context.paths.state_dir).create(DEFAULT_ZONES, context.now)
    with pytest.raises(Refused, match=r"corp\.dev needs a new one"):
        apply_trust(context, plan)


def test_a_result_raises_when_no_store_that_matters_trusts_the_root(context: Context, debian: SmallDebian) -> None:
    debian.tool("usr/sbin/update-ca-certificates", "echo no space left >&2; exit 1")
    result = apply_trust(context, plan_trust(context, TrustRequest(stores=("system",))))
    assert not result.trusted
    with pytest.raises(TrustFailed, match="Neither the system's store nor a browser's") as caught:
        result.raise_for_failure()
    assert caught.value.hint == result.stores[0].state.remedy
    with pytest.raises(TrustFailed):
        replace(result, stores=()).raise_for_failure()


def test_a_result_raises_when_a_client_trusts_too_much(context: Context, debian: SmallDebian) -> None:
    debian.tool("usr/bin/curl", HANDSHAKE)
    result = apply_trust(context, plan_trust(context, TrustRequest()))
    assert result.trusted
    with pytest.raises(TrustFailed, match="curl accepted a certificate for a name outside the zones"):
        result.raise_for_failure()
