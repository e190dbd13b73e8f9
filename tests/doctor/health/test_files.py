from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from devtls.doctor.health.files import CertificateFile, check_files
from devtls.doctor.health.finding import Finding, Level, Section
from devtls.pki.names_in_certificates import Kind
from devtls.pki.register import Issued, Maker

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def issued(
    left: timedelta, *, days: int = 90, place: str = "/srv/tls/a.test.pem", by: Maker = "cert", kind: Kind = "server"
) -> Issued:
    end = NOW + left
    return Issued(
        serial="0a0b0c",
        at=end - days * DAY,
        by=by,
        kind=kind,
        names=("a.test", "*.a.test"),
        not_before=end - days * DAY - timedelta(hours=1),
        not_after=end,
        key_sha256="",
        sha256="",
        place=place,
    )


def checked(one: Issued, *, has_rsa: bool = False) -> list[Finding]:
    return list(check_files([CertificateFile(one, NOW, has_rsa)]))


@pytest.mark.parametrize(
    ("days", "left", "said"), [(90, 31, False), (90, 29, True), (825, 61, False), (825, 59, True), (3, 2, False)]
)
def test_it_is_reported_a_third_of_the_life_ahead_and_sixty_days_at_most(days: int, left: int, said: bool) -> None:
    assert bool(checked(issued(left * DAY, days=days))) is said


def test_what_ends_is_named_with_the_command_for_the_next_one() -> None:
    (finding,) = checked(issued(5 * DAY))
    assert (finding.id, finding.section, finding.level) == ("certificate-ends", Section.CA, Level.WARNING)
    assert finding.what == "The certificate in /srv/tls/a.test.pem ends on 2026-06-06, in 5 days."
    assert finding.remedy == "devtls cert a.test '*.a.test' --out /srv/tls --force"
    assert finding.subject == "/srv/tls/a.test.pem"


def test_what_has_ended_is_reported_as_such() -> None:
    (finding,) = checked(issued(-5 * DAY))
    assert finding.what == "The certificate in /srv/tls/a.test.pem ended on 2026-05-27."


def test_the_command_makes_the_same_kind_again() -> None:
    (finding,) = checked(issued(DAY, days=30, place="/x y/a.p12", kind="client"), has_rsa=True)
    assert (
        finding.remedy == "devtls cert a.test '*.a.test' --out '/x y' --client --p12 --key-type rsa --days 30 --force"
    )
    (finding,) = checked(issued(DAY, by="sign"))
    assert finding.remedy == "devtls sign FILE.csr --out /srv/tls/a.test.pem --force"
