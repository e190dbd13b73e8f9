from __future__ import annotations

from pathlib import Path

import pytest

from devtls.doctor.health.clients import check_clients
from devtls.doctor.health.finding import Level
from devtls.doctor.proof import ClientProof, ForeignOutcome, Verdict

CURL = Path("/usr/bin/curl")


def levels(*reports: ClientProof) -> dict[tuple[str, str], Level]:
    return {(finding.id, finding.subject): finding.level for finding in check_clients(reports)}


def report(
    verdict: Verdict, foreign: ForeignOutcome = ForeignOutcome.REFUSED_FOR_NAME, client: str = "curl"
) -> ClientProof:
    return ClientProof(client, CURL, verdict, foreign=foreign, why="it does not know the root")


def test_no_client_at_all_is_reported() -> None:
    assert levels() == {("clients-none", ""): Level.OK}


def test_a_client_that_trusts_and_refuses_is_fine() -> None:
    assert levels(report(Verdict.TRUSTED)) == {("client-trusts", "curl"): Level.OK}


def test_of_a_ca_without_limits_no_client_is_reported_to_refuse_anything() -> None:
    (found,) = check_clients([report(Verdict.TRUSTED, ForeignOutcome.NOT_TRIED)])
    assert (found.id, found.what) == ("client-trusts-unlimited", "curl accepts a certificate of the CA.")


def test_clients_that_need_a_variable_are_one_note() -> None:
    (note,) = check_clients([report(Verdict.TRUSTED_WITH), report(Verdict.TRUSTED_WITH, client="node")])
    assert note.what == "In this shell curl and node trust the CA only with the variables of devtls env."
    (note,) = check_clients([report(Verdict.TRUSTED_WITH)])
    assert note.what.startswith("In this shell curl trusts the CA")
    assert (note.level, note.remedy) == (Level.NOTE, 'eval "$(devtls env)"')


def test_after_untrust_devtls_env_is_no_way_to_trust() -> None:
    (note,) = check_clients([report(Verdict.TRUSTED_WITH)], retired=True)
    assert note.remedy == "devtls trust"


def test_a_client_that_refuses_with_the_variable_too_is_a_warning() -> None:
    (found,) = check_clients([report(Verdict.REFUSED, ForeignOutcome.NOT_TRIED)])
    assert (found.id, found.level) == ("client-refuses", Level.WARNING)
    assert found.what == f"curl ({CURL}) refuses the CA, also with devtls env: it does not know the root."


@pytest.mark.parametrize("verdict", [Verdict.TRUSTED, Verdict.TRUSTED_WITH])
def test_a_client_that_accepts_a_foreign_name_is_never_called_fine(verdict: Verdict) -> None:
    found = levels(report(verdict, ForeignOutcome.ACCEPTED))
    assert found.pop(("client-accepts-anything", "curl")) is Level.TROUBLE
    assert Level.OK not in found.values()
