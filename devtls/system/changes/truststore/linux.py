"""The system's own store on Linux and FreeBSD: one anchor file and one tool that rebuilds the bundle from all anchors.

Owns reading the anchor directory and the bundle, and the plans. Refuses to write where a system is declared elsewhere
(NixOS) or unknown: it says what to do manually. The bundle is the truth, the anchor only the cause: a root counts as
trusted when the bundle holds it and, where p11-kit keeps the anchors, p11-kit names it one: GnuTLS and Firefox ask
there. Debian's Java keystore is fed by a hook that is never told of removals (tried on Debian 12), so taking a root out
ends with keytool where that keystore still holds it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from devtls.system.changes.change import ChangeState, Kind, Status
from devtls.system.changes.truststore.families import FAMILIES, NIXOS, Family, Refresh, choose_family, read_os_ids
from devtls.system.changes.truststore.other_tools import OtherRoot, other_roots
from devtls.system.changes.truststore.root import RootCertificate, certificates_in, fingerprint_of, ours
from devtls.system.changes.truststore.store import TrustStore
from devtls.system.machine.elevation import refusal_to_touch
from devtls.system.machine.execute import Finished, Outcome, Runner, StepFailure
from devtls.system.machine.machine import Machine, is_read_only
from devtls.system.machine.plan import ELEVATED_S, Plan, RemoveFile, Run, Step, WriteFile

# Anchors are a few kB; a limit, since any file may lie there.
_LARGEST_ANCHOR = 1 << 20
_JAVA_STORE = "etc/ssl/certs/java/cacerts"
_OUR_FILE = re.compile(r"devtls-[0-9a-f]{8}\.(crt|pem)")
_P11_KIT_S = 5.0
_P11_KIT_OBJECT = b"[p11-kit-object-v1]"
_NIX_LINE = "security.pki.certificateFiles = [ ./devtls-root.pem ];"


@dataclass(frozen=True, slots=True)
class Anchor:
    """A certificate file in the anchor directory; `in_java` = Debian's Java keystore holds the same certificate."""

    path: Path
    der: bytes = field(repr=False)
    in_java: bool = False

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the DER."""
        return fingerprint_of(self.der)


@dataclass(frozen=True, slots=True)
class SystemFacts:
    """The facts about the system store; `tool` is None when nothing can rebuild the bundle.

    `anchored` is what p11-kit names an anchor, None where it is not asked; `files` are those of the directory; `unsafe`
    is why the tool or the directory is not root's alone.
    """

    family: Family | None = None
    directory: Path = Path()
    tool: Path | None = None
    refresh: Refresh | None = None
    anchors: tuple[Anchor, ...] = ()
    bundle: frozenset[str] = frozenset()
    roots: tuple[RootCertificate, ...] = ()
    read_only: bool = False
    keytool: Path | None = None
    java_store: Path = Path()
    anchored: frozenset[str] | None = None
    others: tuple[OtherRoot, ...] = ()
    files: frozenset[Path] = frozenset()
    unsafe: str = ""

    def holds(self, fingerprint: str) -> bool:
        """Whether the bundle holds it, and p11-kit, if it was asked, agrees."""
        return fingerprint in self.bundle and (self.anchored is None or fingerprint in self.anchored)


class SystemStore(TrustStore[SystemFacts]):
    """The TrustStore of the whole system."""

    name = "system"
    kind = Kind.SYSTEM

    def __init__(self, machine: Machine, *, runner: Runner | None = None, timeout_s: float = ELEVATED_S) -> None:
        self._machine = machine
        self._runner = runner
        self._timeout_s = timeout_s

    @property
    def label(self) -> str:
        """Says whose store it is."""
        return "System store"

    def probe(self) -> SystemFacts:
        """Read os-release, the anchor directory and the bundle."""
        root = self._machine.root
        family = find_family(self._machine)
        if family is None:
            return SystemFacts()
        certificates = _read_bundle(root, family)
        bundled = tuple(found for der in certificates if (found := ours(der)))
        if family is NIXOS:
            return SystemFacts(
                family, bundle=_fingerprints(certificates), roots=bundled, others=other_roots(certificates)
            )
        directory = root / family.anchor_directory
        tool, refresh = _refresh(self._machine, family)
        java_store = root / _JAVA_STORE
        anchors, anchored = _read_anchors(directory, java_store)
        return SystemFacts(
            family=family,
            directory=directory,
            tool=tool if directory.is_dir() else None,
            refresh=refresh,
            anchors=anchors,
            bundle=_fingerprints(certificates),
            roots=_distinct((*bundled, *anchored)),
            read_only=is_read_only(directory),
            keytool=self._machine.system_keytool(),
            java_store=java_store,
            anchored=self._anchored() if family.p11_kit else None,
            others=other_roots((*(anchor.der for anchor in anchors), *certificates)),
            files=frozenset(directory.iterdir()) if directory.is_dir() else frozenset(),
            unsafe=self._unsafe(family, tool),
        )

    def _unsafe(self, family: Family, tool: Path | None) -> str:
        """Return why the tool or the directory is not root's alone ("" = it is)."""
        root = self._machine.root
        if tool is None:
            return self._machine.refusal_of_system_tool(*(refresh.tool for refresh in family.refreshes))
        return refusal_to_touch(root / family.anchor_directory, root)

    def _anchored(self) -> frozenset[str] | None:
        trust = self._machine.system_tool("trust")
        # None, not an empty set: who cannot be asked has not said no.
        if trust is None or self._runner is None:
            return None
        ended = self._runner.run(Run((str(trust), "dump"), timeout_s=_P11_KIT_S))
        if not isinstance(ended, Finished) or ended.code != 0:
            return None
        objects = ended.stdout.split(_P11_KIT_OBJECT)
        anchors, blocked = (
            _fingerprints([der for text in objects if mark in text for der in certificates_in(text)])
            for mark in (b"\ntrusted: true\n", b"\nx-distrusted: true\n")
        )
        # p11-kit's blocklist wins over an anchor.
        return anchors - blocked

    def trust_state(self, facts: SystemFacts, fingerprint: str) -> ChangeState:
        """Say whether the bundle holds the certificate."""
        if facts.holds(fingerprint):
            return ChangeState(Status.APPLIED)
        if facts.family is None:
            return ChangeState(
                Status.MANUAL,
                "this system keeps its certificates in a way that devtls does not know",
                "Run devtls ca export and add that file the way your system's manual says.",
            )
        if facts.family is NIXOS:
            remedy = f"Add {_NIX_LINE} to your configuration and run nixos-rebuild switch."
            return ChangeState(Status.MANUAL, "NixOS declares its certificates", remedy)
        if facts.unsafe:
            return ChangeState(Status.SKIPPED, facts.unsafe, "Give it to root alone (chown, chmod), then devtls trust.")
        if facts.tool is None:
            return ChangeState(
                Status.NO_TOOL,
                f"{facts.family.refreshes[0].tool} is not installed",
                f"{facts.family.ca_package}, then devtls trust",
            )
        if facts.read_only:
            return ChangeState(
                Status.READ_ONLY, f"{facts.directory} is read-only", "Make it writable, then devtls trust."
            )
        if fingerprint in facts.bundle:
            return ChangeState(Status.ABSENT, "the bundle holds the root, but p11-kit does not name it an anchor")
        stale = any(anchor.fingerprint == fingerprint for anchor in facts.anchors)
        return ChangeState(Status.ABSENT, "the root is filed but not in the bundle" if stale else "")

    def apply_plan(self, facts: SystemFacts, desired: RootCertificate) -> Plan:
        """Return: file the anchor, rebuild the bundle."""
        family = facts.family
        if family is None or facts.tool is None or facts.refresh is None or facts.holds(desired.fingerprint):
            return Plan()
        if facts.unsafe:
            return Plan()
        anchor = facts.directory / f"devtls-{desired.id}{family.suffix}"
        file = WriteFile(
            anchor,
            desired.pem,
            elevate=True,
            source=desired.path,
            replaces=anchor in facts.files,
            tool=family.writer,
        )
        return Plan((file, self._rebuild(facts.tool, facts.refresh.after_adding)))

    def revert_plan(self, facts: SystemFacts, previous_state: Collection[str]) -> Plan:
        """Return: remove the anchors with these fingerprints, rebuild the bundle, clear what the Java hook kept."""
        anchors = [anchor for anchor in facts.anchors if anchor.fingerprint in previous_state]
        bundled = any(fingerprint in facts.bundle for fingerprint in previous_state)
        if facts.tool is None or facts.refresh is None or not (anchors or bundled):
            return Plan()
        steps: list[Step] = [RemoveFile(anchor.path, elevate=True) for anchor in anchors]
        steps.append(self._rebuild(facts.tool, facts.refresh.after_removing))
        if facts.keytool is not None:
            # After the rebuild: Debian's hook is not told of removals and would leave it (tried on Debian 12).
            steps.extend(self._forget_in_java(facts, facts.keytool, anchor) for anchor in anchors if anchor.in_java)
        return Plan(tuple(steps))

    def _rebuild(self, tool: Path, arguments: tuple[str, ...]) -> Run:
        return Run((str(tool), *arguments), elevate=True, timeout_s=self._timeout_s)

    def _forget_in_java(self, facts: SystemFacts, keytool: Path, anchor: Anchor) -> Run:
        alias = f"debian:{anchor.path.stem}.pem"  # the name that Debian's hook gives
        where = ("-keystore", str(facts.java_store), "-storepass", "changeit")
        argv = (str(keytool), "-delete", "-noprompt", "-alias", alias, *where)
        return Run(argv, True, self._timeout_s, touches=(facts.java_store,))

    def undo_plan(self, before: SystemFacts, after: SystemFacts, previous_state: Collection[str]) -> Plan:
        """Return: remove the file that the plan wrote, whatever is in it, and rebuild a bundle that it got into."""
        added = [path for path in sorted(after.files - before.files) if _OUR_FILE.fullmatch(path.name)]
        steps: list[Step] = [RemoveFile(path, elevate=True) for path in added]
        if added and after.tool and after.refresh and after.bundle != before.bundle:
            steps.append(self._rebuild(after.tool, after.refresh.after_removing))
        return Plan(tuple(steps))

    def read_failure(self, facts: SystemFacts, outcome: Outcome) -> ChangeState:
        """Put a failed step into words."""
        again = "Run the commands above yourself, then devtls trust."
        match outcome.trouble:
            case StepFailure.TIMED_OUT:
                return ChangeState(Status.HANGING, outcome.detail, again)
            case StepFailure.READ_ONLY:
                return ChangeState(Status.READ_ONLY, outcome.detail, "Make the directory writable, then devtls trust.")
            case StepFailure.NO_TOOL:
                return ChangeState(Status.NO_TOOL, outcome.detail, again)
            case _:
                return ChangeState(Status.FAILED, outcome.detail, again)

    def explain(self, facts: SystemFacts, desired: RootCertificate) -> str:
        """Return the manual way where there is no plan."""
        if facts.family is NIXOS:
            return (
                f"cp {shlex.quote(str(desired.path))} /etc/nixos/devtls-root.pem, add {_NIX_LINE} to "
                "configuration.nix, and run sudo nixos-rebuild switch; browsers and JDKs need none of that"
            )
        return self.trust_state(facts, desired.fingerprint).remedy


def find_family(machine: Machine) -> Family | None:
    """Return the family of this system; None = devtls does not know it."""
    complete = {family.name for family in FAMILIES if is_complete(machine, family)}
    return choose_family(_os_ids(machine.root), complete)


def is_complete(machine: Machine, family: Family) -> bool:
    """Whether a family's anchor directory and the tool that reads it are both there."""
    return (machine.root / family.anchor_directory).is_dir() and _refresh(machine, family)[0] is not None


def _refresh(machine: Machine, family: Family) -> tuple[Path | None, Refresh | None]:
    for refresh in family.refreshes:
        tool = machine.elevated_tool(refresh.tool)
        if tool is not None:
            return tool, refresh
    return None, None


def _os_ids(root: Path) -> tuple[str, ...]:
    # The second counts where the first is missing (os-release(5)).
    for name in ("etc/os-release", "usr/lib/os-release"):
        try:
            return read_os_ids((root / name).read_text("utf-8", "replace"))
        except OSError:
            continue
    return ()


def _read_bundle(root: Path, family: Family) -> list[bytes]:
    for name in family.bundles:
        place = root / name
        # FreeBSD's certctl keeps a directory of links, one for each certificate.
        files = sorted(place.iterdir()) if place.is_dir() else [place]
        found = [der for file in files if file.is_file() for der in certificates_in(_read(file, 64 << 20))]
        if found:
            return found
    return []


def _read_anchors(directory: Path, java_store: Path) -> tuple[tuple[Anchor, ...], tuple[RootCertificate, ...]]:
    if not directory.is_dir():
        return (), ()
    java = _read(java_store, 64 << 20) if java_store.is_file() else b""
    anchors: list[Anchor] = []
    roots: list[RootCertificate] = []
    for file in sorted(directory.iterdir()):
        if not file.is_file():
            continue
        held = list(certificates_in(_read(file, _LARGEST_ANCHOR)))
        if len(held) != 1:  # a bundle that somebody filed is not ours to remove
            continue
        anchors.append(Anchor(file, held[0], held[0] in java))
        found = ours(held[0])
        if found:
            roots.append(found)
    return tuple(anchors), tuple(roots)


def _read(file: Path, limit: int) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(limit)
    except OSError:
        return b""


def _fingerprints(certificates: list[bytes]) -> frozenset[str]:
    return frozenset(fingerprint_of(der) for der in certificates)


def _distinct(roots: tuple[RootCertificate, ...]) -> tuple[RootCertificate, ...]:
    return tuple({root.fingerprint: root for root in roots}.values())
