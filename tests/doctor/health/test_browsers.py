from __future__ import annotations

from devtls.doctor.health.browsers import BrowserFacts, check_browsers
from devtls.doctor.health.finding import Finding, Level
from devtls.system.changes.truststore.nss_profiles import Notice

OLD, NEW = "~/.pki/nssdb", "~/.local/share/pki/nssdb"


def checked(facts: BrowserFacts) -> dict[str, Finding]:
    return {finding.id: finding for finding in check_browsers(facts)}


def test_one_directory_or_none_is_fine() -> None:
    assert list(checked(BrowserFacts())) == ["browsers-fine"]
    assert list(checked(BrowserFacts(legacy=OLD))) == ["browsers-fine"]


def test_an_old_directory_without_the_root_hides_the_new_one() -> None:
    finding = checked(BrowserFacts(OLD, NEW, frozenset({f"nss:{NEW}"})))["browser-folder-hidden"]
    assert (finding.level, finding.remedy) == (Level.WARNING, "devtls trust")
    assert finding.what == f"Chromium reads {OLD} alone: that directory hides {NEW}, where the root is."


def test_two_directories_with_the_root_in_the_one_that_counts_are_a_fact() -> None:
    both = frozenset({f"nss:{NEW}", f"nss:{OLD}"})
    for trusting in (both, frozenset({f"nss:{OLD}"}), frozenset[str]()):
        found = checked(BrowserFacts(OLD, NEW, trusting))
        assert {name: finding.level for name, finding in found.items()} == {"browser-two-folders": Level.OK}


def test_sandboxed_browsers_and_their_remedy_are_passed_on() -> None:
    finding = checked(BrowserFacts(notices=(Notice("Chrome cannot see it.", "flatpak override x"),)))[
        "browser-sandboxed"
    ]
    assert (finding.what, finding.remedy, finding.level) == ("Chrome cannot see it.", "flatpak override x", Level.NOTE)


def test_browsers_that_ran_before_the_root_came_are_named() -> None:
    one = checked(BrowserFacts(old_processes={"firefox": 7}))["browser-runs-since-before"]
    assert one.what.startswith("firefox (process 7) has run since")
    two = checked(BrowserFacts(old_processes={"firefox": 7, "chrome": 8}))["browser-runs-since-before"]
    assert two.what.startswith("firefox (process 7) and chrome (process 8) have run since")
