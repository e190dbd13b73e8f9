from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from devtls.doctor.tls_check.flaws import find_flaws
from devtls.doctor.tls_check.path import find_path
from devtls.doctor.tls_check.report import Mark
from tests.doctor.tls_check.pki import DAY, NOW, Issued, LeafSpec, make_root


@pytest.fixture(scope="module")
def root() -> Issued:
    return make_root()


def flaws(root: Issued, wish: LeafSpec, *, public: bool = False) -> list[tuple[Mark, str]]:
    path = find_path([root.issue(wish).facts], [root.facts], [], NOW)
    return [(each.mark, each.sentence) for each in find_flaws(path, public=public)]


@pytest.mark.parametrize(
    ("start", "days", "public", "mark"),
    [
        (datetime(2026, 4, 1, tzinfo=UTC), 200, True, None),
        (datetime(2026, 4, 1, tzinfo=UTC), 201, True, Mark.WARNS),
        (datetime(2026, 4, 1, tzinfo=UTC), 201, False, Mark.NOTE),
        (datetime(2026, 4, 1, tzinfo=UTC), 825, False, Mark.NOTE),
        (datetime(2026, 4, 1, tzinfo=UTC), 826, False, Mark.WARNS),
        (datetime(2021, 1, 1, tzinfo=UTC), 398, True, None),
        (datetime(2021, 1, 1, tzinfo=UTC), 399, True, Mark.WARNS),
        (datetime(2020, 1, 1, tzinfo=UTC), 800, True, None),
        (datetime(2018, 1, 1, tzinfo=UTC), 3000, False, None),
    ],
)
def test_how_long_a_certificate_may_live(
    root: Issued, start: datetime, days: int, *, public: bool, mark: Mark | None
) -> None:
    wish = LeafSpec(not_before=start, not_after=start + timedelta(days=days))
    assert [found for found, _ in flaws(root, wish, public=public)] == ([mark] if mark else [])


def test_what_is_only_worth_a_note(root: Issued) -> None:
    staple = x509.TLSFeature([x509.TLSFeatureType.status_request])
    found = flaws(root, LeafSpec(purposes=None, extra=((staple, False),)))
    assert [mark for mark, _ in found] == [Mark.NOTE, Mark.NOTE]
    assert "names no purpose (EKU serverAuth)" in found[0][1]
    assert "must-staple" in found[1][1]


def test_a_root_is_not_checked() -> None:
    old = make_root(not_before=NOW - 9000 * DAY, not_after=NOW + 9000 * DAY)
    assert flaws(old, LeafSpec()) == []


def test_extensions_that_cannot_be_read_are_told(root: Issued) -> None:
    broken = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.31"), b"\x05\x00")
    found = flaws(root, LeafSpec(extra=((broken, False),)))
    assert found[0][0] is Mark.WARNS
    assert found[0][1].startswith("The extensions of a leaf cannot be read: ")
