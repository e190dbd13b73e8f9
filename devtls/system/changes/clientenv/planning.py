"""From facts to files and variables. Pure: the same facts give the same bytes.

Owns the rule that trust is added and never replaced: a variable whose file takes the place of a program's list gets a
bundle of everything that the program trusted before, and ours; where nothing is known of that list the variable is left
alone, and a note says so. Refuses to write a bundle with nothing but our root.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from devtls.pki.java_truststore import write_pkcs12
from devtls.system.changes.clientenv.bundle_file import render_bundle
from devtls.system.changes.clientenv.java_options import extend
from devtls.system.changes.clientenv.probe import EnvironmentFacts, Named
from devtls.system.changes.clientenv.variables import (
    BUNDLE_FILE,
    JAVA_VARIABLE,
    ROOT_FILE,
    TRUSTSTORE_FILE,
    VARIABLES,
    Effect,
    Variable,
)
from devtls.system.changes.truststore.root import RootCertificate, fingerprint_of


@dataclass(frozen=True, slots=True)
class ClientEnvironment:
    """The variables to set, the files that they name, and notes for the user."""

    variables: dict[str, str]
    files: dict[Path, bytes]
    notes: tuple[str, ...] = ()


def plan_environment(facts: EnvironmentFacts) -> ClientEnvironment:
    """Return the environment that makes every client trust the root besides what it trusts already."""
    planned = ClientEnvironment({}, {facts.directory / ROOT_FILE: facts.root.list_pem})
    skipped = [variable.name for variable in VARIABLES if not _plan_variable(variable, facts, planned)]
    notes = [*_useless_files(facts), *_plan_java(facts, planned)]
    if skipped:
        notes.append(
            f"This system has no bundle of roots that devtls knows, so {', '.join(skipped)} are left as they are: "
            "a list with our root alone would end the trust in every other site."
        )
    return ClientEnvironment(planned.variables, planned.files, tuple(notes))


def _plan_variable(variable: Variable, facts: EnvironmentFacts, planned: ClientEnvironment) -> bool:
    base = _base(variable, facts)
    certificates = base.certificates if base else facts.system
    # The bare root suffices where the program keeps its own list; the user's own file would be lost by it.
    if base is None and variable.effect is Effect.ADDS:
        path = facts.directory / ROOT_FILE
    elif certificates:
        path = facts.directory / (_beside(BUNDLE_FILE, "ca-bundle", base.path) if base else BUNDLE_FILE)
        planned.files[path] = render_bundle(_with_ours(certificates, facts.root), base.path if base else "")
    else:
        return False
    planned.variables[variable.name] = str(path)
    return True


def _base(variable: Variable, facts: EnvironmentFacts) -> Named | None:
    """Return the user's own list that the programs of `variable` go by today."""
    named = (facts.own.get(name) for name in (variable.name, *variable.stands_in))
    return next((found for found in named if found and found.certificates), None)


def _beside(name: str, stem: str, path: str) -> str:
    # A name for each base: two shells with different files of their own must not overwrite each other's bundle.
    return f"{stem}-{sha256(path.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}{Path(name).suffix}"


def _with_ours(certificates: Iterable[bytes], root: RootCertificate) -> list[bytes]:
    # In a fixed order and each once: the same facts must give the same bytes, or each run rewrites the file.
    return [*dict.fromkeys(der for der in certificates if der not in root.ders), *root.ders]


def _useless_files(facts: EnvironmentFacts) -> list[str]:
    return [
        f"{name} names {named.path}, where no certificate is to be found; it counts as not set."
        for name, named in facts.own.items()
        if not named.certificates
    ]


def _plan_java(facts: EnvironmentFacts, planned: ClientEnvironment) -> tuple[str, ...]:
    java = facts.java
    # The user's own truststore takes the place of every other: the system's roots are no substitute for it.
    if java.own and java.trouble:
        return (f"{JAVA_VARIABLE} is left as it is: it {java.trouble}.",)
    certificates = java.certificates or facts.system
    if not certificates:
        return (f"{JAVA_VARIABLE} is left as it is: no roots were found that Java's list could be made from.",)
    base = java.base if java.certificates else ""
    path = facts.directory / (_beside(TRUSTSTORE_FILE, Path(TRUSTSTORE_FILE).stem, base) if base else TRUSTSTORE_FILE)
    planned.files[path] = java_truststore(_with_ours(certificates, facts.root), facts.root)
    planned.variables[JAVA_VARIABLE] = extend(java.options, str(path))
    return (f"Java's own list {java.trouble.removeprefix('names ')}: it gets the system's.",) if java.trouble else ()


def java_truststore(certificates: Iterable[bytes], root: RootCertificate | None) -> bytes:
    """Return a truststore in which our root has its name, and every other the start of its fingerprint."""
    return write_pkcs12({_alias(der, root): der for der in certificates})


def _alias(der: bytes, root: RootCertificate | None) -> str:
    return root.nickname if root and der == root.der else fingerprint_of(der)[:16]
