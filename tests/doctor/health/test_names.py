from __future__ import annotations

import pytest

from devtls.doctor.health.finding import Finding, Level
from devtls.doctor.health.names import SLOW_S, Lookup, NameFacts, ResolverFacts, check_names

V4, V6, NONE = Lookup(("127.0.0.1",)), Lookup(("::1",)), Lookup()
MDNS = ResolverFacts(("files", "mdns4_minimal", "[NOTFOUND=return]", "dns"))


def name(host: str, v4: Lookup = V4, v6: Lookup = V6, *, wildcard: bool = False) -> NameFacts:
    return NameFacts(host, v4, v6, wildcard)


def checked(*names: NameFacts, resolver: ResolverFacts = MDNS) -> dict[str, Finding]:
    return {finding.id: finding for finding in check_names(names, resolver)}


def test_names_that_lead_here_over_both_families_are_fine() -> None:
    found = checked(name("a.test"), name("b.test"))
    assert {each: finding.level for each, finding in found.items()} == {"names-fine": Level.OK}
    assert checked() == {}


def test_a_name_that_leads_elsewhere_is_a_trouble() -> None:
    finding = checked(name("a.test", Lookup(("192.0.2.1",)), Lookup(("fe80::1%eth0", "::1"))))["name-elsewhere"]
    assert finding.level is Level.TROUBLE
    assert finding.what == "a.test leads to 192.0.2.1 and fe80::1%eth0, not to this machine."
    assert finding.remedy == "devtls setup names"


def test_a_line_in_the_hosts_file_that_leads_elsewhere_has_to_go() -> None:
    resolver = ResolverFacts(written={"a.test": ("192.0.2.1", "127.0.0.1")})
    finding = checked(name("a.test", Lookup(("192.0.2.1",))), resolver=resolver)["name-elsewhere"]
    assert finding.remedy == "Take a.test out of the line of 192.0.2.1 in /etc/hosts"


def test_a_slow_lookup_is_a_warning_with_its_time() -> None:
    finding = checked(name("a.dev.local", v6=Lookup((), 5.04)))["name-slow"]
    assert (finding.level, finding.what) == (Level.WARNING, "Looking up a.dev.local took 5.0 s.")
    assert finding.remedy == "devtls setup names"
    endless = checked(name("a.test", Lookup((), None), Lookup((), None)))
    assert endless["name-slow"].what == "Looking up a.test did not end in time."
    assert "name-lost" not in endless
    assert list(checked(name("a.test", Lookup(("127.0.0.1",), SLOW_S)))) == ["names-fine"]
    wild = checked(name("x.a.test", Lookup((), 2.0), wildcard=True))["name-slow"]
    assert wild.remedy == "devtls setup names"


def test_names_that_do_not_resolve_get_one_command_for_all() -> None:
    finding = checked(name("a.test", NONE, NONE), name("b.test", NONE, NONE), name("c.test"))["name-lost"]
    assert (finding.level, finding.what) == (Level.WARNING, "a.test and b.test do not resolve on this machine.")
    assert finding.remedy == "devtls setup names"
    assert checked(name("a.test", NONE, NONE))["name-lost"].what.startswith("a.test does not")


def test_names_for_which_devtls_is_asked_in_vain_need_no_setup_but_devtls() -> None:
    silent = ResolverFacts(silent_port=15353)
    slow = Lookup((), None)
    found = checked(name("a.test", NONE, NONE), name("b.test", slow, slow), name("c.test"), resolver=silent)
    assert list(found) == ["resolver-unanswered"]
    finding = found["resolver-unanswered"]
    assert finding.what.endswith("asks devtls for a.test and b.test, and nobody answers on port 15353.")
    assert (finding.level, finding.remedy) == (Level.WARNING, "devtls serve")
    assert list(checked(name("c.test"), resolver=silent)) == ["names-fine"]


@pytest.mark.parametrize(
    ("host", "resolver", "told"),
    [
        ("dev.local", MDNS, True),
        ("app.dev.local", MDNS, False),
        ("dev.test", MDNS, False),
        ("dev.local", ResolverFacts(("files", "dns")), False),
    ],
)
def test_a_name_of_two_labels_below_local_is_mdns_own(host: str, resolver: ResolverFacts, told: bool) -> None:
    finding = checked(name(host, NONE, NONE), resolver=resolver)["name-lost"]
    assert (f"{host} has two labels and ends in .local" in finding.why) is told


def test_wildcards_cannot_be_written_into_the_hosts_file() -> None:
    finding = checked(name("devtls-doctor.app.test", NONE, NONE, wildcard=True))["wildcard-lost"]
    assert (finding.level, finding.what) == (Level.NOTE, "Names below app.test do not resolve.")


def test_names_below_localhost_are_a_note() -> None:
    found = checked(name("app.localhost", NONE, NONE), name("x.app.localhost", NONE, NONE, wildcard=True))
    assert list(found) == ["localhost-name-lost"]
    assert found["localhost-name-lost"].level is Level.NOTE
    assert found["localhost-name-lost"].remedy == "devtls setup names"
    wild = checked(name("x.app.localhost", NONE, NONE, wildcard=True))["localhost-name-lost"]
    assert wild.what == "x.app.localhost is known to browsers and curl alone."


@pytest.mark.parametrize(
    ("host", "v4", "v6", "missing", "level"),
    [
        ("app.dev.local", V4, NONE, "::1", Level.WARNING),
        ("app.test", V4, NONE, "::1", Level.NOTE),
        ("app.test", NONE, V6, "127.0.0.1", Level.NOTE),
    ],
)
def test_a_name_with_one_family_only_misses_a_line(
    host: str, v4: Lookup, v6: Lookup, missing: str, level: Level
) -> None:
    finding = checked(name(host, v4, v6))["name-one-family"]
    assert finding.level is level
    assert finding.what.endswith(f"but not to {missing}.")
    assert finding.remedy == "devtls setup names"


def test_without_ipv6_one_family_is_enough() -> None:
    assert list(checked(name("app.dev.local", V4, NONE), resolver=ResolverFacts(ipv6=False))) == ["names-fine"]
    two = checked(name("a.test", V4, NONE), name("b.test", V4, NONE))["name-one-family"]
    assert two.what == "a.test and b.test lead to 127.0.0.1, but not to ::1."
