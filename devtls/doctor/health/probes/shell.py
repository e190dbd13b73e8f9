"""Facts about this shell's variables and the files that they name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from devtls.doctor.health.probes.authority import Ca
from devtls.doctor.health.shell import CHECKS_OFF, NO_PROXY, PROXY_VARIABLES, NamedFile, ShellFacts
from devtls.errors import CertificateError
from devtls.names import DEFAULT_ZONES
from devtls.system.changes.clientenv.files import are_retired, outdated_files
from devtls.system.changes.clientenv.java_options import named_truststore
from devtls.system.changes.clientenv.java_roots import certificates_of
from devtls.system.changes.clientenv.planning import plan_environment
from devtls.system.changes.clientenv.probe import probe
from devtls.system.changes.clientenv.variables import JAVA_VARIABLE, TRUSTSTORE_FILE, VARIABLES
from devtls.system.changes.truststore.root import certificates_in, fingerprint_of
from devtls.system.machine.machine import Machine


def look_at_shell(ca: Ca, machine: Machine, environ: Mapping[str, str]) -> ShellFacts:
    """Return what this shell tells programs about whom to trust, and about proxies."""
    present = ca.root.fingerprint if ca.root else ""
    named = {each.name: environ[each.name] for each in VARIABLES if environ.get(each.name)}
    if truststore := named_truststore(environ.get(JAVA_VARIABLE, "")):
        named[JAVA_VARIABLE] = truststore
    directory = ca.facts.directory
    return ShellFacts(
        files=tuple(_named(variable, Path(path), directory, present) for variable, path in named.items()),
        outdated=_outdated(ca, machine, environ),
        checks_off=tuple(name for name, values in CHECKS_OFF.items() if environ.get(name, "").lower() in values),
        proxies={name: value for name in PROXY_VARIABLES if (value := _either(environ, name))},
        no_proxy=_either(environ, NO_PROXY),
        zones=ca.facts.zones or DEFAULT_ZONES,
        retired=are_retired(directory),
    )


def _either(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name) or environ.get(name.upper(), "")


def _named(variable: str, path: Path, directory: Path, present: str) -> NamedFile:
    found = _certificates(path)
    holds = not present or any(fingerprint_of(der) == present for der in found)  # without a CA nothing is missing
    return NamedFile(variable, str(path), len(found), holds, path.absolute().parent == directory)


def _certificates(path: Path) -> tuple[bytes, ...]:
    try:
        if path.is_dir():
            return tuple(der for file in sorted(path.iterdir()) if file.is_file() for der in _certificates(file))
        return _parse(path, path.read_bytes())
    except (OSError, CertificateError):
        return ()


def _parse(path: Path, data: bytes) -> tuple[bytes, ...]:
    return certificates_of(data) if path.suffix == Path(TRUSTSTORE_FILE).suffix else tuple(certificates_in(data))


def _outdated(ca: Ca, machine: Machine, environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the files that devtls env made once and would make differently now; what is missing nobody waits for."""
    if ca.authority is None or ca.root is None:
        return ()
    planned = plan_environment(probe(ca.facts.directory, ca.root, environ, machine.root)).files
    changed = [
        path
        for path, content in planned.items()
        if path.is_file() and set(_certificates(path)) != set(_parse(path, content))
    ]
    return tuple(dict.fromkeys((*changed, *outdated_files(ca.facts.directory, ca.root))))
