"""A renewal without a command line: what is planned, what is made, and what stays when something does not go well."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from devtls.errors import DevtlsError, NoAuthority, Refused, TrustFailed
from devtls.names import Hostname
from devtls.operations import rollover
from devtls.operations.context import Context
from devtls.operations.rollover import (
    RolloverPlan,
    abandon_rollover,
    apply_retirement,
    apply_rollover,
    plan_retirement,
    prepare_renewal,
    preview_renewal,
)
from devtls.operations.trust import TrustRequest, apply_trust, plan_trust
from devtls.pki.authority import Authority
from devtls.system.changes.clientenv.variables import ROOT_FILE
from devtls.system.changes.truststore.root import certificates_in
from devtls.web.control_messages import Done, ErrorInfo
from tests.operations.recording import RecordingReporter
from tests.system.machine.small_debian import CERTUTIL, SmallDebian

INTERNAL = (Hostname("shop.internal"),)
REFUSING = f'case "$*" in *-A*) exit 1;; esac\n{CERTUTIL}'
KEEPING = f'case "$*" in *-D*) exit 1;; esac\n{CERTUTIL}'


@pytest.fixture
def old(context: Context, reporter: RecordingReporter) -> Authority:
    """Return the CA that signs, trusted in both stores."""
    authority = apply_trust(context, plan_trust(context, TrustRequest())).authority
    reporter.calls.clear()
    return authority


class Proxy:
    """A running proxy that takes the CA over, or answers with an error."""

    label = "devtls serve (process 7)"

    def __init__(self, pid: int, error: ErrorInfo | None = None) -> None:
        self.about = msgspec.defstruct("About", [("pid", int)])(pid)
        self.error = error

    def send(self, _path: str, _request: Any) -> Done:
        return Done(error=self.error)


def signs(context: Context) -> str:
    return context.keystore.load(context.now).fingerprint


def test_a_preview_makes_nothing(context: Context, old: Authority, reporter: RecordingReporter) -> None:
    preview = preview_renewal(context, INTERNAL)
    assert (preview.present.id, preview.zones) == (old.id, (*old.zones, *INTERNAL))
    assert [bool(proposal.plan) for proposal in preview.proposals] == [True, True]
    assert [path.name for path in context.paths.state_dir.glob("ca-????????")] == [f"ca-{old.id}"]
    assert reporter.calls == []


def test_zones_that_the_ca_has_are_refused(context: Context, old: Authority) -> None:
    for act in (preview_renewal, prepare_renewal):
        with pytest.raises(Refused, match=r"for app\.test already"):
            act(context, (Hostname("app.test"),))


def test_without_a_ca_nothing_is_renewed_or_retired(context: Context) -> None:
    for act in (preview_renewal, prepare_renewal, plan_retirement):
        with pytest.raises(NoAuthority):
            act(context)


def test_a_prepared_ca_signs_nothing_and_is_deleted_when_it_is_abandoned(context: Context, old: Authority) -> None:
    plan = prepare_renewal(context)
    directory = context.keystore.directory_of(plan.following)
    assert directory.is_dir()
    assert plan.root.older == (old.root_der,)
    abandon_rollover(context, plan)
    assert not directory.exists()
    assert signs(context) == old.fingerprint


def test_the_new_ca_signs_once_every_store_trusts_it(
    context: Context, old: Authority, reporter: RecordingReporter
) -> None:
    plan = prepare_renewal(context)
    result = apply_rollover(context, plan)
    result.raise_for_failure()
    assert (result.switched, result.loses_root_key, signs(context)) == (True, False, plan.following.fingerprint)
    assert reporter.of("begin") == [each.label for each in result.results]
    listed = list(certificates_in((context.paths.state_dir / ROOT_FILE).read_bytes()))
    assert listed == [plan.following.root_der, old.root_der]


def test_a_store_that_refuses_keeps_the_present_ca_and_the_prepared_one(
    context: Context, old: Authority, debian: SmallDebian
) -> None:
    debian.tool("usr/bin/certutil", REFUSING)
    plan = prepare_renewal(context)
    result = apply_rollover(context, plan)
    assert (result.switched, signs(context)) == (False, old.fingerprint)
    with pytest.raises(TrustFailed, match="the present CA goes on signing"):
        result.raise_for_failure()
    abandon_rollover(context, plan)  # the other store has its root
    assert context.keystore.directory_of(plan.following).is_dir()
    assert prepare_renewal(context).following.fingerprint == plan.following.fingerprint


def test_anyway_switches_all_the_same(context: Context, old: Authority, debian: SmallDebian) -> None:
    debian.tool("usr/bin/certutil", REFUSING)
    result = apply_rollover(context, prepare_renewal(context), anyway=True)
    result.raise_for_failure()
    assert signs(context) != old.fingerprint


def test_running_proxies_are_told_and_one_that_fails_is_reported(
    context: Context, old: Authority, reporter: RecordingReporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = [Proxy(7), Proxy(8, ErrorInfo(message="the CA is damaged.", hint="devtls doctor", exit_code=4))]
    monkeypatch.setattr(rollover, "find_running", lambda *_: running)
    result = apply_rollover(context, prepare_renewal(context))
    assert result.told == (7,)
    assert reporter.of("error") == ["devtls serve (process 7) goes on as before: the CA is damaged."]
    assert (reporter.raised[0].hint, reporter.raised[0].exit_code) == ("devtls doctor", 4)


def renewed(context: Context) -> RolloverPlan:
    plan = prepare_renewal(context)
    apply_rollover(context, plan).raise_for_failure()
    return plan


def test_retirement_removes_earlier_roots_and_keys(context: Context, old: Authority) -> None:
    new = renewed(context).following
    plan = plan_retirement(context)
    assert (plan.roots, plan.ids) == ({old.fingerprint: old.id}, (old.id,))
    assert context.keystore.directory_of(old).is_dir()
    result = apply_retirement(context, plan)
    result.raise_for_failure()
    assert result.retired == (old.id,)
    assert not context.keystore.directory_of(old).exists()
    assert list(certificates_in((context.paths.state_dir / ROOT_FILE).read_bytes())) == [new.root_der]
    assert plan_retirement(context).roots == {}
    assert apply_retirement(context, plan_retirement(context)).retired == ()


def test_a_store_that_keeps_an_earlier_root_keeps_its_ca(context: Context, old: Authority, debian: SmallDebian) -> None:
    renewed(context)
    debian.tool("usr/bin/certutil", KEEPING)
    result = apply_retirement(context, plan_retirement(context))
    with pytest.raises(DevtlsError, match="nothing was deleted"):
        result.raise_for_failure()
    assert context.keystore.directory_of(old).is_dir()
