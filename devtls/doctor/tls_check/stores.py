"""The roots that this machine trusts, and the stores that trust a given one.

Owns reading the stores for `devtls check`: the system's bundle, NSS databases, Java's keystores, and files named by
`--ca`. Refuses to change anything. Strategy: every store is read once; all roots together are where a path may end,
and then each store is asked about the one root that the path ended at.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from devtls.doctor.tls_check.certificate import Certificate, read_certificate
from devtls.doctor.tls_check.evidence import StoreAnswer
from devtls.errors import CertificateError
from devtls.system.changes.change import BLOCKED, Kind, Status
from devtls.system.changes.truststore.bundle import system_certificates
from devtls.system.changes.truststore.discovery import Scope, find_stores
from devtls.system.changes.truststore.linux import SystemFacts
from devtls.system.changes.truststore.nss import NssFacts
from devtls.system.changes.truststore.root import certificates_in
from devtls.system.changes.truststore.store import AnyStore
from devtls.system.machine.execute import Runner
from devtls.system.machine.machine import Machine

_JAVA_KEYSTORES = ("etc/ssl/certs/java/cacerts", "etc/pki/ca-trust/extracted/java/cacerts")
_LARGEST = 64 << 20


@dataclass(frozen=True, slots=True)
class GivenRoots:
    """The certificates of one `--ca` file."""

    path: Path
    certificates: tuple[Certificate, ...]


@dataclass(frozen=True)
class ProbedStores:
    """Every store as it was read."""

    probed: tuple[tuple[AnyStore, Any], ...]
    system: tuple[Certificate, ...]
    given: tuple[GivenRoots, ...]
    java: tuple[tuple[Path, bytes], ...] = field(repr=False, default=())

    @property
    def anchors(self) -> tuple[Certificate, ...]:
        """Every root that the system, a browser or `--ca` trusts, none twice."""
        of_browsers = [
            der
            for _, facts in self.probed
            if isinstance(facts, NssFacts)
            for entry in facts.entries
            if entry.trusted
            for der in [entry.der]
        ]
        named = [each for given in self.given for each in given.certificates]
        every = (*named, *self.system, *_read_all(of_browsers))
        return tuple({each.fingerprint: each for each in every}.values())

    def is_public(self, root: Certificate) -> bool:
        """Say whether a root came with the system and not from a person: browsers bring the same list along."""
        # Anchors that a person added stand in the same bundle as the public roots.
        local = {
            anchor.fingerprint for _, facts in self.probed if isinstance(facts, SystemFacts) for anchor in facts.anchors
        }
        return any(each.fingerprint == root.fingerprint for each in self.system) and root.fingerprint not in local

    def ask(self, root: Certificate) -> tuple[StoreAnswer, ...]:
        """Return each store's answer about `root`."""
        answers = [_given_answer(given, root) for given in self.given]
        answers += [_answer(store, facts, root) for store, facts in self.probed]
        answers += [_java_answer(path, content, root) for path, content in self.java]
        return tuple(answers)


def read_stores(
    machine: Machine, runner: Runner, given: Sequence[GivenRoots], environ: Mapping[str, str]
) -> ProbedStores:
    """Read every store of this machine; a browser's database that is still to be made is none."""
    found = [(store, store.probe()) for store in find_stores(machine, runner, scope=Scope.BOTH)]
    probed = tuple((store, facts) for store, facts in found if not (isinstance(facts, NssFacts) and not facts.exists))
    # Drivers of Java's stores answer for themselves.
    java = () if any(store.name.startswith("java") for store, _ in probed) else _read_java(machine, environ)
    return ProbedStores(probed, _read_all(system_certificates(machine.root)), tuple(given), java)


def read_given(path: Path) -> GivenRoots:
    """Return the certificates of a `--ca` file, PEM or DER; raises CertificateError when there are none, OSError."""
    certificates = _read_all(certificates_in(path.read_bytes()))
    if not certificates:
        raise CertificateError(f"{path} holds no certificate.", hint="Name a PEM or DER file of root certificates.")
    return GivenRoots(path, certificates)


def _read_all(ders: Any) -> tuple[Certificate, ...]:
    found: list[Certificate] = []
    for der in ders:
        try:
            found.append(read_certificate(der))
        except CertificateError:  # nothing can end there
            continue
    return tuple(found)


def _read_java(machine: Machine, environ: Mapping[str, str]) -> tuple[tuple[Path, bytes], ...]:
    """Return Java's keystores: certificates stand in them as they are, in either of the two formats."""
    home = environ.get("JAVA_HOME", "")
    places = [machine.root / name for name in _JAVA_KEYSTORES]
    places += [Path(home) / "lib/security/cacerts"] if home.startswith("/") else []
    found: dict[Path, tuple[Path, bytes]] = {}
    for place in places:
        try:
            with place.open("rb") as opened:
                found.setdefault(place.resolve(), (place, opened.read(_LARGEST)))
        except OSError:
            continue
    return tuple(found.values())


def _given_answer(given: GivenRoots, root: Certificate) -> StoreAnswer:
    holds = any(each.fingerprint == root.fingerprint for each in given.certificates)
    return StoreAnswer(f"ca:{given.path}", os.fspath(given.path), "given", holds)


def _java_answer(path: Path, content: bytes, root: Certificate) -> StoreAnswer:
    # As Java ships them, both formats hold certificates as plain DER: no password is needed.
    return StoreAnswer(f"java:{path}", f"Java ({path})", Kind.RUNTIME.value, root.der in content)


def _answer(store: AnyStore, facts: Any, root: Certificate) -> StoreAnswer:
    state = store.trust_state(facts, root.fingerprint)
    unknown = store.kind is not Kind.SYSTEM and state.status in BLOCKED
    trusts = None if unknown else state.status is Status.APPLIED
    return StoreAnswer(store.name, _label(store, facts), store.kind.value, trusts, state.detail if unknown else "")


def _label(store: AnyStore, facts: Any) -> str:
    family = facts.family if isinstance(facts, SystemFacts) else None
    return f"{store.label} ({family.name})" if family else store.label
