from __future__ import annotations

import time

import pytest

from devtls.doctor.tls_check.constraints import find_breaches
from devtls.doctor.tls_check.path import PathEnd, find_path
from tests.doctor.tls_check.pki import DAY, NOW, Issued, LeafSpec, make_intermediate, make_root, new_key


@pytest.fixture
def root() -> Issued:
    return make_root()


def test_the_order_in_which_certificates_were_sent_does_not_matter(root: Issued) -> None:
    upper = make_intermediate(root, "upper")
    lower = make_intermediate(upper, "lower")
    leaf = lower.issue(LeafSpec())
    sent = [each.facts for each in (leaf, root, upper, lower)]
    path = find_path(sent, [root.facts], [], NOW)
    assert path.end is PathEnd.ANCHORED
    assert [each.subject for each in path.certificates] == ["a leaf", "lower", "upper", "a root"]
    assert [each.subject for each in path.below_the_root] == ["a leaf", "lower", "upper"]


def test_a_path_that_is_in_date_is_taken_before_one_that_is_not(root: Issued) -> None:
    """One key with two certificates: an expired cross-signature must not hide the good one."""
    key = new_key()
    old = make_intermediate(root, "cross", key=key, not_before=NOW - 9 * DAY, not_after=NOW - DAY)
    good = make_intermediate(root, "cross", key=key)
    leaf = old.issue(LeafSpec())
    path = find_path([leaf.facts, old.facts, good.facts], [root.facts], [], NOW)
    assert path.certificates[1].fingerprint == good.facts.fingerprint


def test_a_trusted_intermediate_ends_a_path(root: Issued) -> None:
    middle = make_intermediate(root)
    path = find_path([middle.issue(LeafSpec()).facts], [middle.facts], [], NOW)
    assert (path.end, len(path.certificates)) == (PathEnd.ANCHORED, 2)


def test_a_root_that_is_known_and_not_trusted(root: Issued) -> None:
    path = find_path([root.issue(LeafSpec()).facts], [], [root.facts], NOW)
    assert (path.end, path.last.subject) == (PathEnd.UNTRUSTED_ROOT, "a root")


def test_two_cas_that_sign_each_other_end(root: Issued) -> None:
    one, two = new_key(), new_key()
    first = Issued(make_root("one", key=one).raw, one)
    second = Issued(make_root("two", key=two).raw, two)
    crossed = [make_intermediate(second, "one", key=one), make_intermediate(first, "two", key=two)]
    leaf = crossed[0].issue(LeafSpec())
    path = find_path([leaf.facts, *(each.facts for each in crossed)], [root.facts], [], NOW)
    assert path.end in (PathEnd.INCOMPLETE, PathEnd.BAD_SIGNATURE, PathEnd.OTHER_KEY)


def test_many_certificates_of_one_name_cost_a_bounded_time(root: Issued) -> None:
    others = [make_root("a root") for _ in range(12)]
    crossed = [make_intermediate(signer, "a root", key=each.key) for signer in others for each in others]
    leaf = others[0].issue(LeafSpec())
    started = time.monotonic()
    path = find_path([leaf.facts, *(each.facts for each in crossed)], [root.facts], [], NOW)
    assert path.end is not PathEnd.ANCHORED
    assert time.monotonic() - started < 10


def breaches(*chain: Issued) -> list[str]:
    path = find_path([each.facts for each in chain], [chain[-1].facts], [], NOW)
    assert path.end is PathEnd.ANCHORED
    return list(find_breaches(path))


def test_a_ca_that_keeps_its_limits_breaks_nothing(root: Issued) -> None:
    narrow = make_intermediate(root, constraints=("check.test",), path_length=0)
    assert breaches(narrow.issue(LeafSpec(dns=("check.test", "app.check.test", "*.check.test"))), narrow, root) == []


@pytest.mark.parametrize("name", ["xcheck.test", "test", "other.test", "*.other.test", "*.test"])
def test_names_outside_the_permitted_ones(root: Issued, name: str) -> None:
    narrow = make_intermediate(root, constraints=("check.test",))
    assert breaches(narrow.issue(LeafSpec(dns=(name,))), narrow, root) == [
        f"an intermediate may not speak for {name} (name constraints)."
    ]


def test_excluded_names_count_more_than_permitted_ones(root: Issued) -> None:
    narrow = make_intermediate(root, constraints=("test",), excluded=("check.test",))
    assert len(breaches(narrow.issue(LeafSpec()), narrow, root)) == 1
    assert breaches(narrow.issue(LeafSpec(dns=("other.test",))), narrow, root) == []


def test_addresses_have_constraints_of_their_own(root: Issued) -> None:
    narrow = make_intermediate(root, constraints=("check.test", "127.0.0.0/8"))
    assert breaches(narrow.issue(LeafSpec(ips=("127.0.0.1",))), narrow, root) == []
    assert breaches(narrow.issue(LeafSpec(ips=("10.0.0.1",))), narrow, root) == [
        "an intermediate may not speak for 10.0.0.1 (name constraints)."
    ]


def test_a_leaf_that_signs(root: Issued) -> None:
    server = root.issue(LeafSpec(subject="a server"))
    assert breaches(server.issue(LeafSpec()), server, root) == ["a server signed a certificate, but is no CA itself."]


def test_a_ca_without_the_right_to_sign(root: Issued) -> None:
    weak = make_intermediate(root, may_sign=False)
    assert breaches(weak.issue(LeafSpec()), weak, root) == [
        "an intermediate signed a certificate, which its key usage does not allow."
    ]


def test_a_path_that_is_longer_than_allowed() -> None:
    short = make_root(path_length=0)
    middle = make_intermediate(short)
    assert breaches(middle.issue(LeafSpec()), middle, short) == ["a root may have 0 CAs below itself, and has 1."]
