from __future__ import annotations

import pytest

from devtls.system.changes.change import Change, DesiredState, Status
from devtls.system.changes.resolver.nrpt import NrptFacts, NrptRules
from devtls.system.machine.execute import Finished, NotFinished, Outcome, StepFailure
from devtls.system.machine.plan import Run
from tests.system.changes.resolver.conftest import WrittenRunner, make_desired
from tests.system.changes.resolver.golden_plans import check_section

DESIRED = make_desired("app.dev.local", dns_port=53)
OURS = (".dev.local", ".test")


def _rules(answer: bytes | Finished | NotFinished = b"[]") -> NrptRules:
    return NrptRules(WrittenRunner({r"C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe -NoProfile": answer}))


def test_the_commands_are_the_ones_of_windows() -> None:
    rules = _rules()
    change: Change[NrptFacts, DesiredState] = rules
    facts = change.probe()
    assert (facts, rules.state(facts, DESIRED).status) == (NrptFacts(), Status.ABSENT)
    old = NrptFacts((".dev.local",))
    assert rules.state(old, DESIRED).status is Status.OUTDATED
    plans = (rules.apply_plan(facts, DESIRED), rules.apply_plan(old, DESIRED), rules.revert_plan(old, {}))
    check_section("names:nrpt", plans, {})
    assert not rules.revert_plan(facts, rules.previous_state(facts, DESIRED))
    assert rules.explain(facts, DESIRED) == ""


@pytest.mark.parametrize(
    ("said", "namespaces"), [(b"", ()), (b'[".dev.local",".test"]\r\n', OURS), (b'".test"', (".test",))]
)
def test_rules_are_listed(said: bytes, namespaces: tuple[str, ...]) -> None:
    assert _rules(said).probe() == NrptFacts(namespaces)


def test_rules_for_every_zone_are_applied() -> None:
    rules, facts = _rules(), NrptFacts(OURS)
    assert rules.state(facts, DESIRED).status is Status.APPLIED
    assert not rules.apply_plan(facts, DESIRED)


def test_another_port_than_53_is_not_possible() -> None:
    rules, usual = _rules(), make_desired("app.dev.local")
    state = rules.state(NrptFacts(), usual)
    assert (state.status, "port 53, not 15353" in state.detail) == (Status.MANUAL, True)
    assert not rules.apply_plan(NrptFacts(), usual)
    assert rules.revert_plan(NrptFacts(OURS), {})


@pytest.mark.parametrize(
    "answer",
    [NotFinished(StepFailure.NO_TOOL, "no such file"), Finished(1, b"", b"no cmdlet"), Finished(0, b"not JSON")],
)
def test_a_list_that_cannot_be_had_is_reported(answer: Finished | NotFinished) -> None:
    rules = _rules(answer)
    facts = rules.probe()
    assert rules.state(facts, DESIRED).status is Status.FAILED
    assert not rules.apply_plan(facts, DESIRED)


@pytest.mark.parametrize(
    ("said", "status"), [("The operation was canceled by the user.", Status.SKIPPED), ("exit code 1", Status.FAILED)]
)
def test_a_command_that_failed_is_put_into_words(said: str, status: Status) -> None:
    outcome = Outcome(Run(("powershell.exe",)), StepFailure.FAILED, said)
    state = _rules().read_failure(NrptFacts(), outcome)
    assert (state.status, bool(state.remedy)) == (status, True)
