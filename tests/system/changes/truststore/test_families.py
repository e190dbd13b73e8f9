from __future__ import annotations

import pytest

from devtls.system.changes.truststore.families import FAMILIES, NIXOS, choose_family, read_os_ids

ALL = {family.name for family in FAMILIES}


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ('NAME="Debian"\nID=debian\n', ("debian",)),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\n', ("rocky", "rhel", "centos", "fedora")),
        ("ID='opensuse-leap'\nVERSION_ID=15\nID_LIKE='suse opensuse'\n", ("opensuse-leap", "suse", "opensuse")),
        ("", ()),
        ("ID=$(reboot)\n", ()),
    ],
)
def test_os_release_is_read_as_text(text: str, ids: tuple[str, ...]) -> None:
    assert read_os_ids(text) == ids


@pytest.mark.parametrize(
    ("ids", "complete", "name"),
    [
        (("debian",), {"Debian", "Alpine", "Gentoo"}, "Debian"),
        (("alpine",), {"Debian", "Alpine", "Gentoo"}, "Alpine"),
        (("gentoo",), {"Debian", "Alpine", "Gentoo"}, "Gentoo"),
        (("fedora",), {"Debian", "Alpine", "Gentoo"}, "Debian"),
        (("neverheard", "arch"), {"Arch"}, "Arch"),
        (("neverheard",), {"openSUSE"}, "openSUSE"),
        (("rocky", "rhel", "fedora"), set(), "Fedora"),
        ((), {"FreeBSD"}, "FreeBSD"),
    ],
)
def test_what_is_there_counts_before_what_the_system_calls_itself(
    ids: tuple[str, ...], complete: set[str], name: str
) -> None:
    family = choose_family(ids, complete)
    assert family is not None
    assert family.name == name


def test_an_unknown_system_has_no_family() -> None:
    assert choose_family(("neverheard",), ()) is None


def test_nixos_is_never_written_to_whatever_directories_it_has() -> None:
    assert choose_family(("nixos",), ALL) is NIXOS


def test_every_row_is_complete_and_uses_a_name_that_debians_script_leaves_alone() -> None:
    for family in FAMILIES:
        assert family.anchor_directory
        assert family.refreshes
        assert family.bundles
        assert family.suffix in (".crt", ".pem")
