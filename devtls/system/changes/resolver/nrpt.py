"""Windows' Name Resolution Policy Table: rules that send our zones to devtls, for those who ask for wildcards.

Owns the rules, known by their comment, and the two lines of PowerShell. A rule has no place for a port, so devtls must
answer DNS on port 53; with any other port the change says so and does nothing. A rule of a group policy makes Windows
pass over all of these. Its plans are tested, no Windows has run them yet.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from devtls.system.changes.change import Change, ChangeState, DesiredState, Part, PreviousState, Status
from devtls.system.machine.execute import Finished, Outcome, Runner
from devtls.system.machine.plan import Plan
from devtls.system.machine.run_as import quoted, run_script, run_script_as_administrator, was_refused

_COMMENT = "devtls"
_OURS = f"Get-DnsClientNrptRule | Where-Object Comment -eq {_COMMENT}"
# @(): one rule or none is a list as well; without it ConvertTo-Json prints a bare string or nothing.
_LIST = f"ConvertTo-Json -Compress @({_OURS} | ForEach-Object {{ @($_.Namespace) }})"
# A rule names addresses only; Windows asks them on DNS' own port (RFC 1035 section 4.2).
_PORT = 53
_ASK_S = 20.0


@dataclass(frozen=True, slots=True)
class NrptFacts:
    """The namespaces of our rules; `trouble` = why they cannot be listed."""

    namespaces: tuple[str, ...] = ()
    trouble: str = ""


class NrptRules(Change[NrptFacts, DesiredState]):
    """The Change of the rules."""

    name = "names:nrpt"
    part = Part.NAMES
    label = "Name resolution policy (NRPT)"
    purpose = (
        "Lets Windows ask devtls for every name below your zones, wildcards too. A rule has no port, so devtls must "
        "answer DNS on port 53 (port = 53 under [dns] in devtls.toml); Docker, WSL or connection sharing may hold that."
    )

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def probe(self) -> NrptFacts:
        """List the rules that carry our comment."""
        ended = self._runner.run(run_script(_LIST, _ASK_S))
        if not isinstance(ended, Finished):
            return NrptFacts(trouble=ended.detail)
        if ended.code != 0:
            return NrptFacts(trouble=ended.last_line)
        try:
            listed = json.loads(ended.stdout or b"[]")
        except ValueError:
            return NrptFacts(trouble=ended.last_line)
        return NrptFacts(tuple(str(each) for each in (listed if isinstance(listed, list) else [listed])))

    def state(self, facts: NrptFacts, desired: DesiredState) -> ChangeState:
        """Say whether there is a rule for each zone, and for no other."""
        if facts.trouble:
            return ChangeState(Status.FAILED, f"the rules cannot be listed: {facts.trouble}", "devtls setup names")
        if desired.dns_port != _PORT:
            return ChangeState(
                Status.MANUAL,
                f"a rule has no port, so devtls must answer DNS on port {_PORT}, not {desired.dns_port}",
                f"Write port = {_PORT} under [dns] in devtls.toml, then devtls setup names.",
            )
        if set(facts.namespaces) == set(_namespaces(desired)):
            return ChangeState(Status.APPLIED)
        return ChangeState(Status.OUTDATED, "zones have changed") if facts.namespaces else ChangeState(Status.ABSENT)

    def apply_plan(self, facts: NrptFacts, desired: DesiredState) -> Plan:
        """Return: one elevated line, which takes old rules of ours away first."""
        if self.state(facts, desired).status not in {Status.ABSENT, Status.OUTDATED}:
            return Plan()
        spaces = ",".join(quoted(each) for each in _namespaces(desired))
        add = f"Add-DnsClientNrptRule -Namespace {spaces} -NameServers '127.0.0.1' -Comment '{_COMMENT}'"
        return Plan((run_script_as_administrator(f"{_REMOVE}; {add}" if facts.namespaces else add),))

    def previous_state(self, facts: NrptFacts, desired: DesiredState) -> PreviousState:
        """Return nothing: rules of others are not touched."""
        return {}

    def revert_plan(self, facts: NrptFacts, previous_state: PreviousState) -> Plan:
        """Return: one elevated line for all rules that carry our comment."""
        return Plan((run_script_as_administrator(_REMOVE),)) if facts.namespaces else Plan()

    def read_failure(self, facts: NrptFacts, outcome: Outcome) -> ChangeState:
        """Put a plan that stopped into words."""
        if was_refused(outcome.detail):
            return ChangeState(Status.SKIPPED, "the dialog was answered with no", "devtls setup names")
        return ChangeState(Status.FAILED, outcome.detail, "Run the command above yourself, then devtls setup names.")

    def explain(self, facts: NrptFacts, desired: DesiredState) -> str:
        """Return nothing: the state says what to do first."""
        return ""


_REMOVE = f"{_OURS} | Remove-DnsClientNrptRule -Force"


def _namespaces(desired: DesiredState) -> tuple[str, ...]:
    """Return the zones with a dot in front, which is how a rule covers what lies below."""
    return tuple(f".{zone}" for zone in desired.zones if zone != "localhost")
