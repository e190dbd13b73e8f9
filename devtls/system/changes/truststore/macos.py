"""macOS's keychains, driven through the system's own `security`.

Owns its argv and the reading of what it exports. A root is trusted when the keychain holds the certificate *and* the
domain's trust settings say so for SSL. The user's domain needs no administrator, only an answer to macOS's own dialog;
the admin domain is for every user. Refuses to start a dialog where nobody can see it (ssh, CI): those hang or fail in
odd ways. Both policies, ssl and basic, are named, since Node takes a root for its system list only with both; deletion
is by hash, since names are ambiguous, and the trust rule goes before the certificate. Written from the manual and from
what other tools learned; its plans are tested, no Mac has run them yet.
"""

from __future__ import annotations

import plistlib
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PurePath
from typing import Any
from xml.parsers.expat import ExpatError

from devtls.system.changes.change import ChangeState, Kind, Status
from devtls.system.changes.truststore.other_tools import OtherRoot, other_roots
from devtls.system.changes.truststore.root import (
    RootCertificate,
    certificates_in,
    fingerprint_of,
    ours,
    pem_of,
    sha1_of,
)
from devtls.system.changes.truststore.store import TrustStore
from devtls.system.machine.execute import Finished, NotFinished, Outcome, Runner, StepFailure
from devtls.system.machine.machine import Machine
from devtls.system.machine.plan import ELEVATED_S, QUICK_S, Plan, RemoveFile, Run, Step, WriteFile

_SECURITY = "/usr/bin/security"
_ROOTS_OWN = "private/var/root/devtls-root.pem"
"""Where a certificate lies for an elevated `security`, which reads no pipe: in the directory of root alone."""
_LAUNCHCTL = "/bin/launchctl"
_DESKTOP = b"Aqua"
_TRUSTED_RESULTS = (1, 2)  # trust as root; trust this certificate
# errSecInteractionNotAllowed is -25308; errAuthorizationDenied is -60005.
_NO_DIALOG = ("user interaction", "-25308", "-60005", "errsecinternalcomponent")
# userCanceledErr is -128; errAuthorizationCanceled is -60006.
_DECLINED = ("canceled by the user", "cancelled by the user", "-128", "-60006")


class Domain(Enum):
    """Whose trust settings: the current user's, or everybody's."""

    USER = "login"
    ADMIN = "system"


@dataclass(frozen=True, slots=True)
class KeychainFacts:
    """`settled` are the SHA-1 of certificates with trust settings, `trusted` those that are trusted for SSL."""

    certificates: tuple[bytes, ...] = ()
    settled: frozenset[str] = frozenset()
    trusted: frozenset[str] = frozenset()
    desktop: bool = True
    blocked: ChangeState | None = None

    @property
    def roots(self) -> tuple[RootCertificate, ...]:
        """Every devtls root in the keychain."""
        return tuple(found for der in self.certificates if (found := ours(der)))

    @property
    def others(self) -> tuple[OtherRoot, ...]:
        """Every root of another tool in the keychain."""
        return other_roots(self.certificates)

    def holds(self, fingerprint: str) -> bytes | None:
        """Return the certificate with that SHA-256, or None."""
        return next((der for der in self.certificates if fingerprint_of(der) == fingerprint), None)


class KeychainStore(TrustStore[KeychainFacts]):
    """The TrustStore of one domain."""

    kind = Kind.SYSTEM

    def __init__(self, domain: Domain, machine: Machine, runner: Runner, *, timeout_s: float = ELEVATED_S) -> None:
        self._domain = domain
        self._machine = machine
        self._runner = runner
        self._timeout_s = timeout_s

    @property
    def name(self) -> str:
        """`keychain:` and whose."""
        return f"keychain:{self._domain.value}"

    @property
    def label(self) -> str:
        """The name in Keychain Access."""
        return f"{self._domain.value.title()} keychain"

    @property
    def _keychain(self) -> Path:
        if self._domain is Domain.USER:
            return self._machine.home / "Library/Keychains/login.keychain-db"
        return self._machine.root / "Library/Keychains/System.keychain"

    @property
    def _admin(self) -> tuple[str, ...]:
        return ("-d",) if self._domain is Domain.ADMIN else ()

    def probe(self) -> KeychainFacts:
        """List the keychain, export the domain's trust settings, and see whether a dialog could be answered."""
        listed = self._runner.run(self._ask("find-certificate", "-a", "-Z", "-p", str(self._keychain)))
        if isinstance(listed, NotFinished):
            return KeychainFacts(blocked=self._in_words(listed.trouble, listed.detail))
        session = self._runner.run(Run((_LAUNCHCTL, "managername")))
        # A launchctl that cannot tell is no reason to refuse: only a session known not to be Aqua is one.
        desktop = not isinstance(session, Finished) or session.code != 0 or session.stdout.strip() == _DESKTOP
        settings = read_trust_settings(self._export())
        certificates = tuple(certificates_in(listed.stdout)) if listed.code == 0 else ()
        return KeychainFacts(certificates, frozenset(settings), _trusted(settings), desktop)

    def _export(self) -> bytes:
        """Return the trust settings; none at all is an error to `security`, and no file."""
        with tempfile.TemporaryDirectory() as directory:
            file = Path(directory) / "settings.plist"
            self._runner.run(self._ask("trust-settings-export", *self._admin, str(file)))
            return file.read_bytes() if file.is_file() else b""

    def _ask(self, *arguments: str) -> Run:
        return Run((_SECURITY, *arguments), timeout_s=QUICK_S)

    def _change(self, *arguments: str) -> Run:
        elevate = self._domain is Domain.ADMIN
        touches = tuple(Path(word) for word in arguments if elevate and word.startswith("/"))
        return Run((_SECURITY, *arguments), elevate, self._timeout_s, touches=touches)

    def trust_state(self, facts: KeychainFacts, fingerprint: str) -> ChangeState:
        """Say whether the certificate is there with trust for web sites."""
        if facts.blocked is not None:
            return facts.blocked
        held = facts.holds(fingerprint)
        if held is not None and sha1_of(held) in facts.trusted:
            return ChangeState(Status.APPLIED)
        if self._domain is Domain.USER and not facts.desktop:
            return ChangeState(
                Status.MANUAL,
                "macOS asks for consent in a window, and this session has no desktop",
                "Run devtls trust in a terminal on the Mac's own screen, or devtls trust --system.",
            )
        return ChangeState(Status.ABSENT, "" if held is None else "the root is there without trust for web sites")

    def apply_plan(self, facts: KeychainFacts, desired: RootCertificate) -> Plan:
        """Return: one command, which adds the certificate and its trust settings.

        An administrator's reads a copy that nobody can swap while a password is typed.
        """
        if self.trust_state(facts, desired.fingerprint).status is not Status.ABSENT:
            return Plan()
        # Both: Node takes a root for its list of the system only with ssl and basic.
        policies = ("-r", "trustRoot", "-p", "ssl", "-p", "basic")
        add = ("add-trusted-cert", *self._admin, *policies, "-k", str(self._keychain))
        if self._domain is Domain.USER:
            return Plan((self._change(*add, str(desired.path)),))
        return Plan(self._with_copy(desired.pem, desired.path, self._change(*add, str(self._copy))))

    @property
    def _copy(self) -> Path:
        return self._machine.root / _ROOTS_OWN

    def _with_copy(self, pem: bytes, source: PurePath | None, *runs: Run) -> tuple[Step, ...]:
        copy = self._copy
        write = WriteFile(copy, pem, 0o600, elevate=True, source=source, tool="tee")
        return (write, *runs, RemoveFile(copy, elevate=True))

    def revert_plan(self, facts: KeychainFacts, previous_state: Collection[str]) -> Plan:
        """Return: for each of these certificates its trust settings, then itself, by hash."""
        steps: list[Step] = []
        for der in facts.certificates:
            if fingerprint_of(der) in previous_state:
                steps.extend(self._forget(facts, der))
        return Plan(tuple(steps))

    def _forget(self, facts: KeychainFacts, der: bytes) -> list[Step]:
        sha1 = sha1_of(der)
        delete = self._change("delete-certificate", "-Z", sha1, str(self._keychain))
        if sha1 not in facts.settled:
            return [delete]
        if self._domain is Domain.ADMIN:
            forget = self._change("remove-trusted-cert", *self._admin, str(self._copy))
            return [*self._with_copy(pem_of(der), None, forget), delete]
        file = self._machine.home / "Library/Caches" / f"devtls-untrust-{sha1[:8].lower()}.pem"
        untrust = self._change("remove-trusted-cert", str(file))
        # The rule first: without its certificate remove-trusted-cert cannot find it any more.
        return [WriteFile(file, pem_of(der)), untrust, delete, RemoveFile(file)]

    def undo_plan(self, before: KeychainFacts, after: KeychainFacts, previous_state: Collection[str]) -> Plan:
        """Return: delete the certificate, which is added before the dialog is answered, and an administrator's copy."""
        copy = (RemoveFile(self._copy, elevate=True),) if self._domain is Domain.ADMIN else ()
        held = any(map(before.holds, previous_state))
        return Plan((*copy, *(() if held else self.revert_plan(after, previous_state).steps)))

    def read_failure(self, facts: KeychainFacts, outcome: Outcome) -> ChangeState:
        """Put a failed step into words."""
        return self._in_words(outcome.trouble or StepFailure.FAILED, outcome.detail)

    def _in_words(self, trouble: StepFailure, detail: str) -> ChangeState:
        if trouble is StepFailure.TIMED_OUT:
            return ChangeState(Status.HANGING, detail, "Answer macOS's dialog, or log out and in, then devtls trust.")
        if any(word in detail.lower() for word in _DECLINED):
            return ChangeState(Status.SKIPPED, "the dialog was answered with no", "devtls trust")
        if any(word in detail.lower() for word in _NO_DIALOG):
            remedy = f"security unlock-keychain {self._keychain}, then devtls trust in a terminal on the Mac's screen."
            return ChangeState(Status.LOCKED, "the keychain is locked, or no window could be shown", remedy)
        if trouble is StepFailure.NO_TOOL:
            return ChangeState(Status.NO_TOOL, detail, "Run devtls trust on macOS itself.")
        return ChangeState(Status.FAILED, detail, "Run the command above yourself, then devtls trust.")

    def explain(self, facts: KeychainFacts, desired: RootCertificate) -> str:
        """Return the way through Keychain Access."""
        return (
            f"In Keychain Access, drag {desired.path} into the {self._domain.value} keychain, open it there, "
            "and under Trust set Secure Sockets Layer (SSL) to Always Trust."
        )


def read_trust_settings(data: bytes) -> dict[str, list[dict[str, Any]]]:
    """Return SHA-1 -> its settings from an exported property list; anything else has none."""
    try:
        listed = plistlib.loads(data)["trustList"] if data else {}
        return {str(sha1).upper(): list(entry.get("trustSettings", [])) for sha1, entry in listed.items()}
    except (plistlib.InvalidFileException, ExpatError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _trusted(settings: dict[str, list[dict[str, Any]]]) -> frozenset[str]:
    # An empty list of settings means trust for everything (SecTrustSettingsCopyTrustSettings).
    return frozenset(sha1 for sha1, rules in settings.items() if not rules or any(map(_allows_sites, rules)))


def _allows_sites(rule: dict[str, Any]) -> bool:
    """Whether a rule trusts for SSL: for that policy or for any, with a result that is yes, which is the default."""
    policy = rule.get("kSecTrustSettingsPolicyName", "sslServer")
    return policy == "sslServer" and rule.get("kSecTrustSettingsResult", 1) in _TRUSTED_RESULTS
