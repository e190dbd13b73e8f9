from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from devtls.doctor.health.finding import Finding, Level
from devtls.doctor.health.stores import ProbedStore, StaleRoot, check_stores
from devtls.system.changes.change import ChangeState, Kind, Status
from devtls.system.changes.engine import propose
from devtls.system.changes.truststore.other_tools import OtherRoot
from tests.system.changes.file_change import DESIRED, FileChange

FIX = propose(FileChange(Path("/nowhere/names")), DESIRED)
TRUSTED, ABSENT = ChangeState(Status.APPLIED), ChangeState(Status.ABSENT)
BROWSER = ProbedStore("nss:~/new", "Chromium", Kind.BROWSER, TRUSTED, recorded=True)
SYSTEM = ProbedStore("system", "System store", Kind.SYSTEM, ABSENT)
JAVA = ProbedStore("java:/j", "Java 17", Kind.RUNTIME, ABSENT)


def checked(*stores: ProbedStore) -> dict[tuple[str, str], Finding]:
    return {(finding.id, finding.subject): finding for finding in check_stores(stores)}


def test_a_store_that_trusts_is_fine_and_a_choice_is_a_note() -> None:
    found = checked(BROWSER, SYSTEM, JAVA)
    assert found["store-trusts", "nss:~/new"].level is Level.OK
    assert found["store-lacks", "system"].level is Level.NOTE
    assert "curl" in found["store-lacks", "system"].why
    assert "runtime" in found["store-lacks", "java:/j"].why
    assert len(found) == 3


def test_without_any_store_that_matters_that_is_the_trouble_and_the_rest_are_details() -> None:
    java = replace(JAVA, state=TRUSTED)
    found = checked(replace(BROWSER, state=ABSENT, recorded=False), SYSTEM, java)
    assert found["untrusted", ""].level is Level.TROUBLE
    assert found["untrusted", ""].remedy == "devtls trust"
    assert found["untrusted", ""].what == "Neither the system nor any browser trusts the root."
    assert found["store-lacks", "nss:~/new"].level is Level.NOTE


def test_a_browser_without_the_root_among_others_is_a_warning_that_fix_applies() -> None:
    other = ProbedStore("nss:~/fox", "Firefox", Kind.BROWSER, ABSENT, trust=FIX)
    finding = checked(BROWSER, other)["store-lacks", "nss:~/fox"]
    assert (finding.level, finding.fix) == (Level.WARNING, FIX)
    assert checked(BROWSER, replace(other, trust=None))["store-lacks", "nss:~/fox"].fix is None


def test_a_root_that_was_there_and_is_gone_is_a_warning_in_any_store() -> None:
    assert checked(BROWSER, replace(SYSTEM, recorded=True))["store-lost", "system"].level is Level.WARNING


@pytest.mark.parametrize(("store", "level"), [(BROWSER, Level.WARNING), (SYSTEM, Level.NOTE)])
def test_a_store_that_cannot_be_changed_says_its_own_remedy(store: ProbedStore, level: Level) -> None:
    locked = replace(store, recorded=False, state=ChangeState(Status.LOCKED, "it has a password", "Type it."))
    finding = checked(locked)["store-blocked", store.name]
    assert (finding.level, finding.remedy) == (level, "Type it.")
    assert finding.what == f"{store.label}: it cannot be worked with (locked: it has a password)."
    seen = checked(locked)["untrusted", ""].what
    assert seen == "Neither the system nor any browser is seen to trust the root."
    bare = replace(locked, state=ChangeState(Status.HANGING))
    assert checked(bare)["store-blocked", store.name].what.endswith("(hanging).")
    assert checked(bare)["store-blocked", store.name].remedy == "devtls trust"


def test_without_a_root_to_ask_for_nothing_is_reported_to_be_missing() -> None:
    assert checked(replace(BROWSER, state=None)) == {}


def test_only_a_recorded_root_of_an_earlier_ca_is_taken_out_by_fix() -> None:
    mine, unknown = StaleRoot("devtls root 1", "f1", True), StaleRoot("devtls root 2", "f2", False)
    found = checked(replace(BROWSER, stale=(mine, unknown, replace(unknown, nickname="devtls root 3")), untrust=FIX))
    stale, other = found["root-stale", "nss:~/new"], found["root-unknown", "nss:~/new"]
    assert stale.what == "devtls root 1, of an earlier CA, is still in Chromium."
    assert (stale.fix, stale.remedy) == (FIX, "devtls doctor --fix")
    assert other.what == "devtls root 2 and devtls root 3, of an earlier or another CA, are in Chromium."
    assert other.fix is None
    assert "another state directory" in other.why


def test_one_that_takes_an_administrator_is_left_to_untrust() -> None:
    stale = checked(replace(SYSTEM, stale=(StaleRoot("devtls root 1", "f1", True),)))["root-stale", "system"]
    assert (stale.fix, stale.remedy) == (None, "devtls untrust --all && devtls trust")


def test_roots_of_other_tools_are_named_once_with_every_store() -> None:
    root = OtherRoot("mkcert", "mkcert me@laptop", "ff")
    found = checked(replace(BROWSER, others=(root,)), replace(SYSTEM, others=(root,)))
    finding = found["root-of-other-tool", "mkcert"]
    assert finding.level is Level.NOTE
    assert finding.what == "A root of mkcert (mkcert me@laptop) is in Chromium and System store."
    assert finding.remedy == "devtls untrust --also mkcert && devtls trust"
