"""The block in the hosts file: it works on every system, for every program, whether or not devtls runs.

Owns what is to stand in our block and the words about it; where the file is and how it is written is its place's
business. Refuses links (on NixOS, for one, the configuration makes the file) and a file that it does not understand:
then it says which lines a person adds. Names of the block stay when another project is set up; reverting the change
takes the whole block. No system has wildcards here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import PurePath
from typing import Protocol

from devtls.names import Hostname, zone_of
from devtls.system.changes.change import Change, ChangeState, DesiredState, Part, PreviousState, Status
from devtls.system.changes.resolver.hosts_block import (
    ADDRESSES,
    UnusableHosts,
    choose_names,
    has_marker,
    parse_hosts,
    read_addresses,
    remove_block,
    write_block,
)
from devtls.system.machine.execute import Outcome, StepFailure
from devtls.system.machine.plan import ManualStep, Plan, Run, Step, Unchanged

_AGAIN = "devtls setup names"
_MISSING = "missing"
_REWRITERS = {
    b"generateHosts": "WSL makes this file anew at each start, unless /etc/wsl.conf says generateHosts = false",
    b"manage_etc_hosts": "cloud-init makes this file anew at each start, as long as manage_etc_hosts is on",
}
"""Words in the file's own comments -> what becomes of our block."""


@dataclass(frozen=True, slots=True)
class HostsFacts:
    """The file as it is; `content` is None when there is none.

    `link` is where it leads when it is a link, `mounted` = it is a mount of its own, as in containers, so that no other
    file can take its place; `writable` = this process may write it; `left_over` = a file of ours beside it, from a
    plan that stopped half way; `labelled` = SELinux labels files here; `trouble` = why it cannot be read.
    """

    content: bytes | None = b""
    mode: int = 0o644
    owner: tuple[int, int] = (0, 0)
    link: str = ""
    mounted: bool = False
    writable: bool = False
    read_only: bool = False
    left_over: bool = False
    labelled: bool = False
    trouble: str = ""

    @property
    def sha256(self) -> str | None:
        """The SHA-256 that `Unchanged` compares."""
        return None if self.content is None else hashlib.sha256(self.content).hexdigest()


class HostsPlace(Protocol):
    """The hosts file of one system, and the steps that write it there."""

    @property
    def path(self) -> PurePath:
        """The file."""

    @property
    def newline(self) -> bytes:
        """The line end of a file that has none."""

    @property
    def flush(self) -> tuple[Run, ...]:
        """The steps that make the resolver read the file again, where it does not by itself."""

    def look(self) -> HostsFacts:
        """Read it."""

    def put(self, facts: HostsFacts, content: bytes) -> tuple[Step, ...]:
        """Return the steps that put `content` in its place."""

    def take_away(self, facts: HostsFacts) -> tuple[Step, ...]:
        """Return the steps that remove the file."""

    def sweep(self, facts: HostsFacts) -> tuple[Step, ...]:
        """Return the steps that remove the file that was left beside it."""

    def refused(self, detail: str) -> bool:
        """Whether a tool's last words say that the administrator said no."""


class HostsFile(Change[HostsFacts, DesiredState]):
    """The Change of our block in the hosts file."""

    name = "names:hosts"
    part = Part.NAMES

    def __init__(self, place: HostsPlace) -> None:
        self._place = place

    @property
    def label(self) -> str:
        """The block, and its file."""
        return f"Block in {self._place.path}"

    @property
    def purpose(self) -> str:
        """The effect."""
        return (
            "Writes the names of your routes between two marker lines, each for 127.0.0.1 and ::1, so that every "
            "program finds them. It knows no wildcards: a new route needs devtls setup names again."
        )

    def probe(self) -> HostsFacts:
        """Read the file."""
        return self._place.look()

    def state(self, facts: HostsFacts, desired: DesiredState) -> ChangeState:
        """Say whether every name has its lines."""
        if facts.link or facts.trouble or facts.read_only:
            blocked = self._blocked(facts)
            # Lines that somebody else wrote, such as NixOS' configuration, do the same.
            there = ChangeState(Status.APPLIED, f"the lines are there; {blocked.detail}")
            return there if _has_all(facts, desired) else blocked
        try:
            text, new = parse_hosts(facts.content or b""), self._wished(facts, desired)
        except UnusableHosts as error:
            detail = f"{self._place.path} is left alone: {error}"
            return ChangeState(Status.MANUAL, detail, f"Fix the file, then {_AGAIN}.")
        if new == (facts.content or b""):
            detail = _rewriter(facts) if text.block else "no route has a name that needs a line"
            return ChangeState(Status.APPLIED, detail)
        if not text.block:
            return ChangeState(Status.ABSENT, _rewriter(facts))
        lacking = [name for name in _wanted(desired) if name not in text.names]
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        return ChangeState(Status.OUTDATED, f"it lacks {lacking[0]}{more}" if lacking else "some of its lines are old")

    def _blocked(self, facts: HostsFacts) -> ChangeState:
        path = self._place.path
        if facts.link.startswith("/nix/store/"):
            return ChangeState(Status.MANUAL, "NixOS makes this file from its configuration", _NIXOS)
        if facts.link:
            detail = f"{path} is a link to {facts.link}, and links are not followed as administrator"
            return ChangeState(Status.MANUAL, detail, f"Write the lines into that file, or put a file there: {_AGAIN}.")
        if facts.trouble:
            return ChangeState(Status.MANUAL, f"{path} cannot be read: {facts.trouble}", f"Fix it, then {_AGAIN}.")
        remedy = f"Make it writable, then {_AGAIN}."
        return ChangeState(Status.READ_ONLY, f"{path} lies on a read-only file system", remedy)

    def _wished(self, facts: HostsFacts, desired: DesiredState) -> bytes:
        """Return the whole file as desired. Raises UnusableHosts."""
        content, zones = facts.content or b"", tuple(map(Hostname, desired.zones))
        names = choose_names(parse_hosts(content).names, _wanted(desired), zones)
        return write_block(content, names, self._place.newline)

    def apply_plan(self, facts: HostsFacts, desired: DesiredState) -> Plan:
        """Return: put the file with our block in the place of the one without, if it is still that one."""
        if self.state(facts, desired).status not in {Status.ABSENT, Status.OUTDATED}:
            return Plan()
        return self._plan(facts, self._place.put(facts, self._wished(facts, desired)))

    def _plan(self, facts: HostsFacts, steps: tuple[Step, ...]) -> Plan:
        # The new content was made from the old one: an edit in between would be lost.
        return Plan((Unchanged(self._place.path, facts.sha256), *steps, *self._place.flush))

    def previous_state(self, facts: HostsFacts, desired: DesiredState) -> PreviousState:
        """Return whether there was a file at all."""
        return {_MISSING: "yes"} if facts.content is None else {}

    def revert_plan(self, facts: HostsFacts, previous_state: PreviousState) -> Plan:
        """Return: put the file without our block in the place of the one with it."""
        sweep = self._place.sweep(facts) if facts.left_over else ()
        content = facts.content or b""
        if not has_marker(content):
            return Plan(sweep)
        path = self._place.path
        if facts.link:
            return Plan((*sweep, ManualStep(f"take devtls' block out of {facts.link}, to which {path} is a link")))
        try:
            old = remove_block(content)
        except UnusableHosts as error:
            return Plan((*sweep, ManualStep(f"take devtls' block out of {path}: {error}")))
        # A file that we made goes again; an empty one that was there stays.
        gone = not old and _MISSING in previous_state
        steps = self._place.take_away(facts) if gone else self._place.put(facts, old)
        return self._plan(facts, (*sweep, *steps))

    def read_failure(self, facts: HostsFacts, outcome: Outcome) -> ChangeState:
        """Put a plan that stopped into words."""
        if outcome.failed in self._place.flush:
            detail = f"the file is written, but the resolver was not told: {outcome.detail}"
            return ChangeState(Status.FAILED, detail, "Run that command yourself, or restart the machine.")
        if self._place.refused(outcome.detail):
            return ChangeState(Status.SKIPPED, "the dialog was answered with no", _AGAIN)
        match outcome.trouble:
            case StepFailure.MANUAL:
                return ChangeState(Status.MANUAL, outcome.detail, f"Fix the file, then {_AGAIN}.")
            case StepFailure.CHANGED:
                return ChangeState(Status.FAILED, f"{outcome.detail}; nothing was written", _AGAIN)
            case StepFailure.READ_ONLY:
                return ChangeState(Status.READ_ONLY, outcome.detail, f"Make it writable, then {_AGAIN}.")
            case StepFailure.NO_TOOL:
                return ChangeState(Status.NO_TOOL, outcome.detail, f"Add the lines yourself, then {_AGAIN}.")
            case _:
                return ChangeState(Status.FAILED, outcome.detail, f"Run the commands above yourself, then {_AGAIN}.")

    def explain(self, facts: HostsFacts, desired: DesiredState) -> str:
        """Return the lines that a person adds where we do not."""
        names = _wanted(desired)
        if not names or self.state(facts, desired).status not in {Status.MANUAL, Status.READ_ONLY}:
            return ""
        if facts.link.startswith("/nix/store/"):
            quoted = " ".join(f'"{name}"' for name in names)
            each = " ".join(f'"{address}" = [ {quoted} ];' for address in ADDRESSES)
            return f"networking.hosts = {{ {each} }};"
        lines = "\n".join(f"{address} {name}" for name in names for address in ADDRESSES)
        return f"Lines for {facts.link or self._place.path}:\n{lines}"


_NIXOS = "Add networking.hosts to your configuration and run nixos-rebuild switch."


def _rewriter(facts: HostsFacts) -> str:
    """Return the program that writes the file anew, if the file says so itself ("" = none)."""
    return next((why for mark, why in _REWRITERS.items() if mark in (facts.content or b"")), "")


def _has_all(facts: HostsFacts, desired: DesiredState) -> bool:
    names, written = _wanted(desired), read_addresses(facts.content or b"")
    return bool(names) and all(written.get(name, frozenset()) >= set(ADDRESSES) for name in names)


def _wanted(desired: DesiredState) -> tuple[Hostname, ...]:
    """Return the names that lines are for; what lies in no zone of the CA is none of ours."""
    zones = tuple(map(Hostname, desired.zones))
    return choose_names((), (name for name in desired.hostnames if zone_of(name, zones)), zones)
