"""Systems that give ports 443 and 80 to everybody: nothing is to be done, and this says so.

Owns the words for macOS and Windows. Changes nothing, ever. Written from what these systems document; nobody has run it
there yet.
"""

from __future__ import annotations

from devtls.system.changes.change import Change, ChangeState, DesiredState, Part, PreviousState, Status
from devtls.system.machine.execute import Outcome
from devtls.system.machine.plan import Plan

_STATES = {
    "darwin": "macOS gives them to everybody, on all addresses at once: devtls drops clients of other machines",
    "win32": "Windows has no ports that only administrators may have",
}
_WORDS = {
    "darwin": (
        "devtls serve listens on every address and drops whoever is not on this Mac before it reads a byte; the "
        "firewall may ask about that. To a service of its own launchd gives 127.0.0.1 and ::1 alone."
    ),
    "win32": (
        "When a port is forbidden all the same, Windows keeps it for another: netsh interface ipv4 show "
        "excludedportrange protocol=tcp lists such ranges, netsh http show servicestate what http.sys (IIS, WinRM) has."
    ),
}


class OpenPorts(Change[str, DesiredState]):
    """The Change of a system that needs none."""

    name = "ports:open"
    part = Part.PORTS
    label = "Ports below 1024"
    purpose = "Nothing is changed: this system gives every user the ports 443 and 80."

    def __init__(self, platform: str) -> None:
        self._platform = platform

    def probe(self) -> str:
        """Return the system's name; there is nothing to look at."""
        return self._platform

    def state(self, facts: str, desired: DesiredState) -> ChangeState:
        """Say that nothing is to be done."""
        return ChangeState(Status.APPLIED, _STATES[facts])

    def apply_plan(self, facts: str, desired: DesiredState) -> Plan:
        """Return nothing."""
        return Plan()

    def previous_state(self, facts: str, desired: DesiredState) -> PreviousState:
        """Return nothing."""
        return {}

    def revert_plan(self, facts: str, previous_state: PreviousState) -> Plan:
        """Return nothing."""
        return Plan()

    def read_failure(self, facts: str, outcome: Outcome) -> ChangeState:
        """Pass on what a plan that is none cannot have said."""
        return ChangeState(Status.FAILED, outcome.detail)

    def explain(self, facts: str, desired: DesiredState) -> str:
        """Return notes about this system for a person."""
        return _WORDS[facts]
