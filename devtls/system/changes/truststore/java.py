"""The list of roots that one or several JDKs read, changed through Java's own keytool.

Owns the argv of keytool and the question whether it must be elevated: only where the file is not ours to write, and
only with a JDK that nobody but root can change, down to its libraries. Refuses a keystore whose password is not the
usual one (it is somebody's own), one that the system's store writes (there a root of ours comes and goes with the
system's), and one of root's in a directory that is not. The certificate comes on standard input.
Certificates are told apart by their bytes, the alias is only the handle. Java ignores the name constraints of a root;
those of the intermediate hold there, which is what fences the CA in.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from devtls.system.changes.change import ChangeState, Kind, Status
from devtls.system.changes.truststore.java_homes import JavaPlace, java_version
from devtls.system.changes.truststore.java_keystore import PASSWORD, KeystoreEntry, Unreadable, read_keystore
from devtls.system.changes.truststore.other_tools import OtherRoot, other_roots
from devtls.system.changes.truststore.root import RootCertificate, ours
from devtls.system.changes.truststore.store import TrustStore
from devtls.system.machine.elevation import find_tool, refusal_of_jdk, refusal_to_touch
from devtls.system.machine.execute import Outcome, StepFailure
from devtls.system.machine.machine import Machine
from devtls.system.machine.plan import ELEVATED_S, Plan, Run, elevated_argv

KEYTOOL_S = 60.0
"""Time limit of keytool: a JVM on a busy machine is slow to start."""
_TOOLS = ("keytool", "keytool.exe")
_BIN = ("bin", "jre/bin")
_DEBIAN_ALIAS = "debian:"


@dataclass(frozen=True, slots=True)
class Feeder:
    """The hook that writes a keystore from the system's anchors; `anchors` is the directory that it takes them from."""

    keystore: Path
    anchors: Path


@dataclass(frozen=True, slots=True)
class JavaKeystoreFacts:
    """The content of the file; `blocked` is set when nothing can be said or done.

    `unsafe` is why there is no keytool although one would have to be elevated.
    """

    entries: tuple[KeystoreEntry, ...] = ()
    keytool: Path | None = None
    elevate: bool = False
    blocked: ChangeState | None = None
    unsafe: str = ""

    @property
    def roots(self) -> tuple[RootCertificate, ...]:
        """Every devtls root in the file."""
        return tuple(found for entry in self.entries if (found := ours(entry.der)))

    @property
    def others(self) -> tuple[OtherRoot, ...]:
        """Every root of another tool in the file."""
        return other_roots(entry.der for entry in self.entries)


class JavaStore(TrustStore[JavaKeystoreFacts]):
    """The TrustStore of one keystore file."""

    kind = Kind.RUNTIME

    def __init__(
        self, place: JavaPlace, machine: Machine, *, feeder: Feeder | None = None, timeout_s: float = KEYTOOL_S
    ) -> None:
        self.place = place
        self._machine = machine
        self._feeder = feeder if feeder and feeder.keystore == place.keystore else None
        self._timeout_s = timeout_s

    @property
    def name(self) -> str:
        """`java:` and the file."""
        return f"java:{self._machine.tilde(self.place.keystore)}"

    @property
    def label(self) -> str:
        """The versions, and the JDK's directory, or the file where several share it."""
        versions = " and ".join(dict.fromkeys(filter(None, map(java_version, self.place.homes))))
        shared = len(self.place.homes) > 1 or self.place.dormant
        where = self.place.keystore if shared else self.place.homes[0]
        return f"Java {versions} ({self._machine.tilde(where)})".replace("  ", " ")

    def probe(self) -> JavaKeystoreFacts:
        """Read the file and find the keytool that may change it; no JVM is started."""
        if self.place.problem:
            return JavaKeystoreFacts(blocked=_broken(self.place.problem))
        keystore = self.place.keystore
        try:
            held = read_keystore(keystore.read_bytes())
        except OSError as error:
            return JavaKeystoreFacts(
                blocked=ChangeState(Status.FAILED, f"{keystore}: {error.strerror}", _look(keystore))
            )
        own = [tool for home in self.place.homes if (tool := find_tool(_TOOLS, _BIN, home))]
        # A cacerts in a home directory needs no administrator.
        elevate = self._machine.is_root or not os.access(keystore, os.W_OK)
        if elevate:
            keytool, unsafe = self._elevated_keytool(own)
        else:
            keytool, unsafe = (own[0] if own else self._machine.user_tool(*_TOOLS)), ""
        if isinstance(held, Unreadable):
            return JavaKeystoreFacts((), keytool, elevate, _unreadable(keystore, held))
        return JavaKeystoreFacts(held, keytool, elevate, unsafe=unsafe)

    def _elevated_keytool(self, own: list[Path]) -> tuple[Path | None, str]:
        """Return a keytool of root's alone, or why there is none: others would be code of the user's, run as root."""
        root = self._machine.root
        if why := refusal_to_touch(self.place.keystore, root):
            return None, why
        refusals = {tool: refusal_of_jdk(tool, root) for tool in own}
        safe = [tool for tool, why in refusals.items() if not why]
        found = safe[0] if safe else self._machine.system_keytool()
        return found, "" if found else next(filter(None, refusals.values()), "")

    def trust_state(self, facts: JavaKeystoreFacts, fingerprint: str) -> ChangeState:
        """Say whether the file holds the certificate: in this file every certificate is trusted."""
        if facts.blocked is not None:
            return facts.blocked
        if any(entry.fingerprint == fingerprint for entry in facts.entries):
            return ChangeState(Status.APPLIED)
        if self._feeder:
            return ChangeState(Status.ABSENT, "it follows the system store")
        if self.place.dormant:
            return ChangeState(Status.ABSENT, "jssecacerts beside it is what this Java reads")
        if facts.unsafe:
            return ChangeState(Status.SKIPPED, facts.unsafe, "devtls env gives Java programs the root without it.")
        if facts.keytool is None:
            return ChangeState(
                Status.NO_TOOL, "there is no keytool to change it with", "Install a JDK, then devtls trust."
            )
        return ChangeState(Status.ABSENT)

    def apply_plan(self, facts: JavaKeystoreFacts, desired: RootCertificate) -> Plan:
        """Return: one import, unless the system's store does it."""
        if self._feeder or self.place.dormant or facts.keytool is None:
            return Plan()
        if self.trust_state(facts, desired.fingerprint).status is not Status.ABSENT:
            return Plan()
        # Without -file keytool reads what it is fed.
        run = self._call(facts, "-importcert", alias_of(desired))
        return Plan((replace(run, stdin=desired.pem, source=desired.path),))

    def revert_plan(self, facts: JavaKeystoreFacts, previous_state: Collection[str]) -> Plan:
        """Return: one deletion for each entry with one of these fingerprints that the system's store will not take."""
        if facts.keytool is None or facts.blocked is not None:
            return Plan()
        aliases = [entry.alias for entry in facts.entries if entry.fingerprint in previous_state]
        return Plan(
            tuple(self._call(facts, "-delete", alias) for alias in aliases if not self._goes_with_anchor(alias))
        )

    def _goes_with_anchor(self, alias: str) -> bool:
        """Whether Debian's hook put it there for an anchor that is still filed: the system store's plan takes both."""
        if self._feeder is None or not alias.startswith(_DEBIAN_ALIAS):
            return False
        stem = alias.removeprefix(_DEBIAN_ALIAS).removesuffix(".pem")
        # Java has no upper case in its aliases.
        return any(file.name.lower() == f"{stem}.crt".lower() for file in self._feeder.anchors.glob("*.crt"))

    def _call(self, facts: JavaKeystoreFacts, action: str, alias: str, *arguments: str) -> Run:
        # The password is no secret: it stands in every JDK, and a truststore holds public certificates.
        where = ("-keystore", str(self.place.keystore), "-storepass", PASSWORD)
        argv = (str(facts.keytool), action, "-noprompt", "-alias", alias, *arguments, *where)
        timeout_s = ELEVATED_S if facts.elevate else self._timeout_s
        return Run(argv, facts.elevate, timeout_s, touches=(self.place.keystore,))

    def undo_plan(self, before: JavaKeystoreFacts, after: JavaKeystoreFacts, previous_state: Collection[str]) -> Plan:
        """Return: nothing, since keytool's one command writes all of a keystore or none of it."""
        return Plan()

    def read_failure(self, facts: JavaKeystoreFacts, outcome: Outcome) -> ChangeState:
        """Put a failed step into words."""
        again = "Run the command above yourself, then devtls trust."
        match outcome.trouble:
            case StepFailure.TIMED_OUT:
                return ChangeState(Status.HANGING, outcome.detail, again)
            case StepFailure.READ_ONLY:
                return ChangeState(
                    Status.READ_ONLY, outcome.detail, f"Make {self.place.keystore} writable, then devtls trust."
                )
            case StepFailure.NO_TOOL:
                return ChangeState(Status.NO_TOOL, outcome.detail, "Fix that JDK, then devtls trust.")
            case _:
                return ChangeState(Status.FAILED, outcome.detail, again)

    def explain(self, facts: JavaKeystoreFacts, desired: RootCertificate) -> str:
        """Return the command that asks for the password, where it is not the usual one."""
        if facts.blocked is None or facts.blocked.status is not Status.LOCKED or facts.keytool is None:
            return ""
        run = self._call(facts, "-importcert", alias_of(desired), "-file", str(desired.path))
        # Without -storepass keytool asks for it, so that it gets into no history.
        words = elevated_argv(run, self._machine.elevation)[: -len(("-storepass", PASSWORD))]
        return f"{shlex.join(words)}  # asks for the keystore's password"


def alias_of(root: RootCertificate) -> str:
    """Return the alias under which a root of ours is imported: unique for its bytes, once there are any."""
    return f"devtls-{root.fingerprint[:16] if root.der else root.id}"


def _look(path: Path) -> str:
    return f"ls -l {path}"


def _broken(problem: str) -> ChangeState:
    return ChangeState(Status.FAILED, problem, "Correct or unset JAVA_HOME, then devtls trust.")


def _unreadable(keystore: Path, why: Unreadable) -> ChangeState:
    match why:
        case Unreadable.OTHER_PASSWORD:
            remedy = f"Change it yourself: keytool -keystore {keystore} asks for the password."
            return ChangeState(Status.LOCKED, "its password is not the usual one", remedy)
        case Unreadable.NO_KEYSTORE:
            return ChangeState(Status.FAILED, f"{keystore} is no Java keystore", _look(keystore))
