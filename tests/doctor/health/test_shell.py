from __future__ import annotations

from pathlib import Path

import pytest

from devtls.doctor.health.finding import Finding, Level
from devtls.doctor.health.shell import NamedFile, ShellFacts, check_shell
from devtls.system.changes.engine import propose
from tests.system.changes.file_change import DESIRED, FileChange

FIX = propose(FileChange(Path("/nowhere/names")), DESIRED)
ENV = 'eval "$(devtls env)"'


def checked(facts: ShellFacts) -> dict[str, Finding]:
    return {finding.id: finding for finding in check_shell(facts)}


def named(*, certificates: int = 3, holds_root: bool = True, is_ours: bool = False) -> NamedFile:
    return NamedFile("SSL_CERT_FILE", "/x/corp.pem", certificates, holds_root, is_ours)


def test_nothing_set_and_a_file_with_the_root_are_fine() -> None:
    assert list(checked(ShellFacts())) == ["shell-fine"]
    assert list(checked(ShellFacts((named(), named(is_ours=True))))) == ["shell-fine"]


@pytest.mark.parametrize(("is_ours", "remedy"), [(True, ENV), (False, "unset SSL_CERT_FILE")])
def test_a_variable_that_names_nothing_is_a_warning(is_ours: bool, remedy: str) -> None:
    finding = checked(ShellFacts((named(certificates=0, holds_root=False, is_ours=is_ours),)))["variable-names-nothing"]
    assert (finding.level, finding.remedy, finding.subject) == (Level.WARNING, remedy, "SSL_CERT_FILE")


def test_the_users_own_file_without_the_root_is_a_note() -> None:
    finding = checked(ShellFacts((named(holds_root=False),)))["variable-lacks-root"]
    assert (finding.level, finding.fix) == (Level.NOTE, None)


def test_files_of_an_earlier_ca_are_made_anew_by_fix() -> None:
    stale, other = named(holds_root=False, is_ours=True), Path("/x/ca-bundle.pem")
    finding = checked(ShellFacts((stale,), renewal=FIX))["env-outdated"]
    assert finding.what == "corp.pem, which devtls env names, is not of today."
    assert (finding.level, finding.fix) == (Level.WARNING, FIX)
    both = checked(ShellFacts((stale,), outdated=(other, Path(stale.path)), renewal=FIX))["env-outdated"]
    assert both.what == "ca-bundle.pem and corp.pem, which devtls env names, are not of today."
    assert both.fix == FIX


def test_after_untrust_nothing_is_made_anew_and_the_variables_are_reverted() -> None:
    unset = 'eval "$(devtls env --unset)"'
    left, gone = named(holds_root=False, is_ours=True), named(certificates=0, holds_root=False, is_ours=True)
    found = checked(ShellFacts((left,), outdated=(Path(left.path),), retired=True))
    assert list(found) == ["variable-after-untrust"]
    finding = found["variable-after-untrust"]
    assert (finding.level, finding.remedy, finding.is_command, finding.fix) == (Level.NOTE, unset, True, None)
    assert checked(ShellFacts((gone,), retired=True))["variable-names-nothing"].remedy == unset


def test_a_variable_that_turns_checks_off_is_a_warning() -> None:
    finding = checked(ShellFacts(checks_off=("GIT_SSL_NO_VERIFY",)))["checks-off"]
    assert (finding.level, finding.remedy) == (Level.WARNING, "unset GIT_SSL_NO_VERIFY")


ZONES = ("dev.local", "localhost", "test")
PROXY = {"https_proxy": "http://corp:3128"}


def test_a_proxy_that_would_get_the_names_is_a_warning_with_the_whole_line() -> None:
    finding = checked(ShellFacts(proxies=PROXY, no_proxy="corp.example,.test", zones=ZONES))["proxy-takes-names"]
    assert finding.what == "https_proxy is set, and NO_PROXY leaves out dev.local and localhost."
    value = "corp.example,.test,.dev.local,.localhost"
    assert finding.remedy == f"export NO_PROXY={value} no_proxy={value}"
    two = checked(ShellFacts(proxies={**PROXY, "http_proxy": "x"}, zones=("test",)))["proxy-takes-names"]
    assert two.what == "https_proxy and http_proxy are set, and NO_PROXY leaves out test."
    assert two.remedy == "export NO_PROXY=.test no_proxy=.test"


@pytest.mark.parametrize(
    "no_proxy", ["*", "local,.localhost, TEST", "*.dev.local,localhost,.test", ".local,localhost,test"]
)
def test_names_that_are_exempt_need_nothing(no_proxy: str) -> None:
    assert list(checked(ShellFacts(proxies=PROXY, no_proxy=no_proxy, zones=ZONES))) == ["shell-fine"]


def test_without_a_proxy_no_exemption_is_needed() -> None:
    assert list(checked(ShellFacts(zones=ZONES))) == ["shell-fine"]
