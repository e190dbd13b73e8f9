"""EnvironmentFacts in, files and variables out: trust is added, never replaced."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from devtls.pki.java_truststore import read_truststore
from devtls.system.changes.clientenv.java_options import named_truststore, words
from devtls.system.changes.clientenv.java_roots import JavaRootFacts
from devtls.system.changes.clientenv.planning import plan_environment
from devtls.system.changes.clientenv.probe import EnvironmentFacts, Named
from devtls.system.changes.clientenv.variables import (
    BUNDLE_FILE,
    JAVA_VARIABLE,
    NAMES,
    ROOT_FILE,
    TRUSTSTORE_FILE,
    VARIABLES,
    Effect,
)
from devtls.system.changes.truststore.root import RootCertificate, certificates_in
from tests.system.changes.clientenv.conftest import CORPORATE, OTHER, PUBLIC

REPLACING = [variable.name for variable in VARIABLES if variable.effect is Effect.REPLACES]


@pytest.fixture
def facts(directory: Path, root: RootCertificate) -> EnvironmentFacts:
    return EnvironmentFacts(directory, root, (PUBLIC, root.der, OTHER))


def trusted(facts: EnvironmentFacts, name: str) -> list[bytes]:
    """Return the certificates of the file that a variable names."""
    planned = plan_environment(facts)
    return list(certificates_in(planned.files[Path(planned.variables[name])]))


def test_every_variable_gets_its_kind_of_file(facts: EnvironmentFacts) -> None:
    planned = plan_environment(facts)
    assert set(planned.variables) == set(NAMES)
    assert planned.notes == ()
    assert {Path(path).name for path in planned.files} == {ROOT_FILE, BUNDLE_FILE, TRUSTSTORE_FILE}
    for variable in VARIABLES:
        expected = [facts.root.der] if variable.effect is Effect.ADDS else [PUBLIC, OTHER, facts.root.der]
        assert trusted(facts, variable.name) == expected, variable.name
    store = named_truststore(planned.variables[JAVA_VARIABLE])
    assert store is not None
    assert read_truststore(planned.files[Path(store)]) == (PUBLIC, OTHER, facts.root.der)


def test_a_file_of_the_users_own_is_extended_and_names_are_not_shared(facts: EnvironmentFacts) -> None:
    own = {"SSL_CERT_FILE": Named("/corp.pem", (CORPORATE,)), "NODE_EXTRA_CA_CERTS": Named("/node.pem", (OTHER,))}
    facts = replace(facts, own=own)
    assert trusted(facts, "SSL_CERT_FILE") == [CORPORATE, facts.root.der]
    assert trusted(facts, "NODE_EXTRA_CA_CERTS") == [OTHER, facts.root.der]
    planned = plan_environment(facts)
    assert planned.variables["SSL_CERT_FILE"] != planned.variables["NODE_EXTRA_CA_CERTS"]


@pytest.mark.parametrize(
    ("named", "reach"),
    [
        ("SSL_CERT_FILE", {"SSL_CERT_FILE", "CURL_CA_BUNDLE", "PIP_CERT", "CARGO_HTTP_CAINFO"}),
        ("CURL_CA_BUNDLE", {"CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "PIP_CERT"}),
        ("REQUESTS_CA_BUNDLE", {"REQUESTS_CA_BUNDLE", "PIP_CERT", "AWS_CA_BUNDLE"}),
        ("GIT_SSL_CAINFO", {"GIT_SSL_CAINFO"}),
    ],
)
def test_a_variable_that_programs_fall_back_to_is_not_hidden_by_ours(
    facts: EnvironmentFacts, named: str, reach: set[str]
) -> None:
    facts = replace(facts, own={named: Named("/corp.pem", (CORPORATE,))})
    assert {name for name in REPLACING if CORPORATE in trusted(facts, name)} == reach


def test_a_file_without_certificates_counts_as_not_set_and_is_told_of(facts: EnvironmentFacts) -> None:
    facts = replace(facts, own={"SSL_CERT_FILE": Named("/gone.pem", ())})
    assert trusted(facts, "SSL_CERT_FILE") == [PUBLIC, OTHER, facts.root.der]
    assert plan_environment(facts).notes == (
        "SSL_CERT_FILE names /gone.pem, where no certificate is to be found; it counts as not set.",
    )


def test_without_a_bundle_of_the_system_nothing_is_replaced(facts: EnvironmentFacts) -> None:
    planned = plan_environment(replace(facts, system=()))
    assert planned.variables == {
        name: str(facts.directory / ROOT_FILE) for name in ("NODE_EXTRA_CA_CERTS", "DENO_CERT")
    }
    assert list(planned.files) == [facts.directory / ROOT_FILE]
    assert len(planned.notes) == 2
    assert all(name in planned.notes[1] for name in REPLACING)


def test_java_goes_on_trusting_what_it_trusted(facts: EnvironmentFacts) -> None:
    java = JavaRootFacts("-Xmx1g", "/jdk/lib/security/cacerts", (CORPORATE,))
    planned = plan_environment(replace(facts, java=java))
    options = planned.variables[JAVA_VARIABLE]
    store = named_truststore(options)
    assert store is not None
    assert Path(store).name != TRUSTSTORE_FILE
    assert read_truststore(planned.files[Path(store)]) == (CORPORATE, facts.root.der)
    assert words(options)[0] == "-Xmx1g"


def test_a_truststore_of_the_users_own_that_cannot_be_read_is_left_as_it_is(facts: EnvironmentFacts) -> None:
    java = JavaRootFacts(
        "-Dx", "/corp.jks", own=True, trouble="names /corp.jks, which cannot be read (Permission denied)"
    )
    planned = plan_environment(replace(facts, java=java))
    assert JAVA_VARIABLE not in planned.variables
    assert planned.notes == (
        "JAVA_TOOL_OPTIONS is left as it is: it names /corp.jks, which cannot be read (Permission denied).",
    )


def test_a_jdk_whose_list_cannot_be_read_gets_the_systems(facts: EnvironmentFacts) -> None:
    java = JavaRootFacts("", "/jdk/cacerts", trouble="names /jdk/cacerts, which cannot be read (odd)")
    planned = plan_environment(replace(facts, java=java))
    assert read_truststore(planned.files[facts.directory / TRUSTSTORE_FILE]) == (PUBLIC, OTHER, facts.root.der)
    assert planned.notes == ("Java's own list /jdk/cacerts, which cannot be read (odd): it gets the system's.",)
