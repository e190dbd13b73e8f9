from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from devtls.doctor.health.authority import SOON, CaFacts, ErrorMessage, OlderCa, check_ca
from devtls.doctor.health.finding import Finding, Level
from devtls.system.changes.engine import propose
from tests.system.changes.file_change import DESIRED, FileChange

FIX = propose(FileChange(Path("/nowhere/names")), DESIRED)
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
DIRECTORY = Path("/home/me/state")
FINE = CaFacts(
    DIRECTORY,
    NOW,
    exists=True,
    id="0a1b2c3d",
    zones=("dev.local", "test"),
    not_before=NOW - DAY,
    not_after=NOW + 900 * DAY,
    newest=NOW - DAY,
)
REFUSED = ErrorMessage("A file is damaged.", "devtls untrust --forget, then devtls trust")


def ids(facts: CaFacts) -> list[str]:
    return [finding.id for finding in check_ca(facts)]


def only(facts: CaFacts) -> Finding:
    (finding,) = check_ca(facts)
    return finding


def test_a_fine_ca_is_one_sentence() -> None:
    finding = only(FINE)
    assert finding.level is Level.OK
    assert finding.what == "devtls root 0a1b2c3d speaks for dev.local, test, until 2028-11-17."


def test_no_ca_is_the_first_trouble() -> None:
    finding = only(CaFacts(DIRECTORY, NOW))
    assert (finding.id, finding.level, finding.remedy) == ("ca-missing", Level.TROUBLE, "devtls trust")


def test_files_that_others_can_read_are_closed_by_fix_and_say_why_the_keystore_refuses() -> None:
    path = DIRECTORY / "ca x/intermediate.key"
    finding = only(replace(FINE, exposed=(path,), closing=FIX, refused=REFUSED))
    assert (finding.id, finding.fix) == ("ca-exposed", FIX)
    assert finding.remedy == f"chmod go= '{path}'"


def test_files_of_another_user_are_no_matter_of_fix() -> None:
    finding = only(replace(FINE, foreign=(DIRECTORY,), refused=REFUSED))
    assert (finding.id, finding.fix) == ("ca-foreign-owner", None)
    assert finding.remedy == f'sudo chown "$USER" {DIRECTORY}'


def test_what_the_keystore_refuses_is_reported_in_its_words() -> None:
    finding = only(replace(FINE, refused=REFUSED))
    assert (finding.what, finding.level) == (REFUSED.sentence, Level.TROUBLE)
    assert finding.remedy == "devtls untrust --forget && devtls trust"
    assert only(replace(FINE, refused=ErrorMessage("No.", ""))).remedy == "devtls untrust --forget && devtls trust"


def test_the_last_sixty_days_are_a_warning() -> None:
    assert only(replace(FINE, not_after=NOW + SOON)).level is Level.OK
    finding = only(replace(FINE, not_after=NOW + SOON - DAY / 2))
    assert (finding.id, finding.level) == ("ca-expires", Level.WARNING)
    assert finding.what.endswith("in 59 days.")
    assert finding.remedy == "devtls ca renew"


def test_a_clock_before_the_ca_is_the_clocks_fault_not_the_cas() -> None:
    finding = only(replace(FINE, not_before=NOW + DAY, refused=ErrorMessage("The clock says so.", "")))
    assert (finding.id, finding.level) == ("clock-wrong", Level.TROUBLE)
    assert finding.what == "The clock says 2026-06-01 12:00, but the CA was made on 2026-06-02."


def test_a_file_from_the_future_tells_that_the_clock_went_back() -> None:
    assert ids(replace(FINE, newest=NOW + timedelta(minutes=59))) == ["ca-fine"]
    assert ids(replace(FINE, newest=NOW + 2 * DAY)) == ["clock-wrong", "ca-fine"]


def test_a_ca_without_dates_says_nothing_about_time() -> None:
    assert ids(replace(FINE, not_before=None, not_after=None, newest=None)) == []


def test_a_record_that_cannot_be_read_is_told_with_and_without_a_ca() -> None:
    record = ErrorMessage("trusted.json cannot be read.", "Remove the file.")
    assert ids(replace(FINE, record=record)) == ["ca-fine", "record-unreadable"]
    assert ids(CaFacts(DIRECTORY, NOW, record=record)) == ["ca-missing", "record-unreadable"]


def test_a_renewal_that_was_not_finished_is_a_warning() -> None:
    fine, finding = check_ca(replace(FINE, next_id="99999999"))
    assert fine.id == "ca-fine"
    assert (finding.id, finding.level, finding.remedy) == ("ca-renewal-open", Level.WARNING, "devtls ca renew")
    assert "devtls root 99999999" in finding.what


def test_a_ca_without_limits_is_a_note() -> None:
    fine, finding = check_ca(replace(FINE, limited=False))
    assert fine.id == "ca-fine"
    assert (finding.id, finding.level, finding.remedy) == ("ca-unlimited", Level.NOTE, "devtls ca renew")


def test_a_ca_on_its_roots_list_is_trouble() -> None:
    fine, finding = check_ca(replace(FINE, withdrawn="This machine's own CA was revoked."))
    assert fine.id == "ca-fine"
    assert (finding.id, finding.level, finding.remedy) == ("ca-revoked", Level.TROUBLE, "devtls ca renew")


def test_what_a_crash_kept_from_the_roots_list_is_to_be_done_again() -> None:
    _, first, second = check_ca(replace(FINE, unpublished={"0a0b0c0d0e": "revoke", "0f0a0b0c0d": "unrevoke"}))
    assert (first.id, first.level, first.remedy) == ("ca-list-behind", Level.WARNING, "devtls revoke 0a0b0c0d0e")
    assert (second.remedy, second.subject) == ("devtls unrevoke 0f0a0b0c0d", "0f0a0b0c0d")


def test_an_older_ca_is_a_note_while_it_lasts_and_a_warning_after_its_end() -> None:
    older = (OlderCa("11111111", NOW + DAY), OlderCa("22222222", None), OlderCa("33333333", NOW))
    found = list(check_ca(replace(FINE, older=older)))[1:]
    assert [(each.id, each.level, each.subject) for each in found] == [
        ("ca-older", Level.NOTE, "11111111"),
        ("ca-older", Level.NOTE, "22222222"),
        ("ca-older-ended", Level.WARNING, "33333333"),
    ]
    assert found[0].what.endswith("11111111, of the CA before, is trusted until 2026-06-02 or until you retire it.")
    assert {each.remedy for each in found} == {"devtls ca retire"}
    assert all(each.is_command for each in found)
