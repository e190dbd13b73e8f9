"""The variables of this shell: those that tell programs which roots to trust, that turn checks off, that name a proxy.

Owns what a file behind a variable must hold. A file of ours that is of an earlier CA, or of yesterday's list of the
system's roots, can be made anew by `--fix`; a shell's own settings are never touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from devtls.doctor.health.authority import ProbedCa
from devtls.doctor.health.finding import Finding, Level, Section, listed
from devtls.errors import CertificateError
from devtls.names import DEFAULT_ZONES
from devtls.system.changes.clientenv.files import ClientFiles, DesiredFiles, are_retired
from devtls.system.changes.clientenv.java_options import named_truststore
from devtls.system.changes.clientenv.java_roots import certificates_of
from devtls.system.changes.clientenv.planning import plan_environment
from devtls.system.changes.clientenv.probe import probe
from devtls.system.changes.clientenv.variables import JAVA_VARIABLE, TRUSTSTORE_FILE, VARIABLES
from devtls.system.changes.engine import Proposal, propose
from devtls.system.changes.truststore.root import certificates_in, fingerprint_of
from devtls.system.machine.machine import Machine

_ENV = 'eval "$(devtls env)"'
_UNSET = 'eval "$(devtls env --unset)"'
CHECKS_OFF: Mapping[str, tuple[str, ...]] = {
    # Only "0" does it; "false" has no effect in Node.
    "NODE_TLS_REJECT_UNAUTHORIZED": ("0",),
    "GIT_SSL_NO_VERIFY": ("1", "true", "yes", "on"),
    "PYTHONHTTPSVERIFY": ("0",),
}
"""Variable -> the values that turn its programs' checks off."""
# Lower case first: curl reads no HTTP_PROXY, since CGI sets it from a request's header (curl(1)).
PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy")
NO_PROXY = "no_proxy"


@dataclass(frozen=True, slots=True)
class NamedFile:
    """The file behind a variable: `is_ours` = in the state directory, `holds_root` = with the present root in it."""

    variable: str
    path: str
    certificates: int
    holds_root: bool
    is_ours: bool


@dataclass(frozen=True, slots=True)
class ShellFacts:
    """`outdated` are files of `devtls env` that are not as it would make them now; `environ` holds what is set.

    `renewal` makes those and every other list of ours anew. `retired` = devtls untrust took the trust back, so that a
    file of ours is right without the root.
    """

    files: tuple[NamedFile, ...] = ()
    outdated: tuple[Path, ...] = ()
    checks_off: tuple[str, ...] = ()
    proxies: Mapping[str, str] = field(default_factory=dict)
    no_proxy: str = ""
    zones: tuple[str, ...] = ()
    retired: bool = False
    renewal: Proposal | None = None


def check_shell(facts: ShellFacts) -> Iterator[Finding]:
    """Yield the faults of the variables of this shell."""
    found = [*_on_files(facts), *_on_outdated(facts), *_on_checks(facts.checks_off), *_on_proxies(facts)]
    yield from found or [Finding("shell-fine", Section.SHELL, Level.OK, "No variable of this shell stands in the way.")]


def _on_files(facts: ShellFacts) -> Iterator[Finding]:
    for file in facts.files:
        if not file.certificates:
            yield Finding(
                "variable-names-nothing",
                Section.SHELL,
                Level.WARNING,
                f"{file.variable} names {file.path}, where no certificate is to be found.",
                "Programs that go by it trust no site at all, or say so and stop.",
                (_UNSET if facts.retired else _ENV) if file.is_ours else f"unset {file.variable}",
                file.variable,
            )
        elif file.is_ours and facts.retired:
            yield Finding(
                "variable-after-untrust",
                Section.SHELL,
                Level.NOTE,
                f"{file.variable} names {file.path} of devtls env, which devtls untrust took the root out of.",
                "Programs that go by it trust what they trusted before devtls; nobody keeps that file up to date.",
                _UNSET,
                file.variable,
            )
        elif not file.holds_root and not file.is_ours:
            yield Finding(
                "variable-lacks-root",
                Section.SHELL,
                Level.NOTE,
                f"{file.variable} names {file.path}, which does not hold the root.",
                "Programs that go by it refuse your sites; devtls env adds the root to what that file holds.",
                _ENV,
                file.variable,
            )


def _on_outdated(facts: ShellFacts) -> Iterator[Finding]:
    if facts.retired:
        return
    lacking = [file for file in facts.files if file.is_ours and file.certificates and not file.holds_root]
    if facts.outdated or lacking:
        paths = tuple(dict.fromkeys((*facts.outdated, *(Path(file.path) for file in lacking))))
        verb = "is" if len(paths) == 1 else "are"
        yield Finding(
            "env-outdated",
            Section.SHELL,
            Level.WARNING,
            f"{listed(path.name for path in paths)}, which devtls env names, {verb} not of today.",
            "Programs whose variable names it lack the present root, or roots that the system has got since.",
            _ENV,
            fix=facts.renewal,
        )


def _on_checks(variables: Iterable[str]) -> Iterator[Finding]:
    for variable in variables:
        yield Finding(
            "checks-off",
            Section.SHELL,
            Level.WARNING,
            f"{variable} turns the checking of certificates off.",
            "Programs that go by it accept anybody as any site, on the internet as well.",
            f"unset {variable}",
            variable,
        )


def _on_proxies(facts: ShellFacts) -> Iterator[Finding]:
    missing = [zone for zone in facts.zones if not _is_exempt(zone, facts.no_proxy)]
    if facts.proxies and missing:
        wanted = [each for each in (facts.no_proxy, *(f".{zone}" for zone in missing)) if each]
        names = listed(facts.proxies)
        yield Finding(
            "proxy-takes-names",
            Section.SHELL,
            Level.WARNING,
            f"{names} {'is' if len(facts.proxies) == 1 else 'are'} set, and NO_PROXY leaves out {listed(missing)}.",
            "Programs ask the proxy for your sites, and it does not know them.",
            f"export NO_PROXY={','.join(wanted)} no_proxy={','.join(wanted)}",
        )


def _is_exempt(zone: str, no_proxy: str) -> bool:
    entries = [entry.strip().lower().lstrip("*").lstrip(".") for entry in no_proxy.split(",")]
    if "*" in no_proxy.split(","):
        return True
    return any(entry and (zone == entry or zone.endswith("." + entry)) for entry in entries)


def probe_shell(ca: ProbedCa, machine: Machine, environ: Mapping[str, str]) -> ShellFacts:
    """Probe the variables that tell programs which roots to trust, and which proxy to use."""
    present = ca.root.fingerprint if ca.root else ""
    named = {each.name: environ[each.name] for each in VARIABLES if environ.get(each.name)}
    if truststore := named_truststore(environ.get(JAVA_VARIABLE, "")):
        named[JAVA_VARIABLE] = truststore
    directory = ca.facts.directory
    files = tuple(_named(variable, Path(path), directory, present) for variable, path in named.items())
    outdated, renewal = _renewal(ca, machine, environ, files)
    return ShellFacts(
        files=files,
        outdated=outdated,
        checks_off=tuple(name for name, values in CHECKS_OFF.items() if environ.get(name, "").lower() in values),
        proxies={name: value for name in PROXY_VARIABLES if (value := _either(environ, name))},
        no_proxy=_either(environ, NO_PROXY),
        zones=ca.facts.zones or DEFAULT_ZONES,
        retired=are_retired(directory),
        renewal=renewal,
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


def _renewal(
    ca: ProbedCa, machine: Machine, environ: Mapping[str, str], files: Iterable[NamedFile]
) -> tuple[tuple[Path, ...], Proposal | None]:
    """Return the files that devtls env made once and would make differently now, and the change that does so.

    A file that is missing is not made: no program waits for it.
    """
    if ca.authority is None or ca.root is None:
        return (), None
    directory = ca.facts.directory
    planned = plan_environment(probe(directory, ca.root, environ, machine.root)).files
    changed = [
        path
        for path, content in planned.items()
        # Compared as certificates: other aliases or line ends change nothing for a program.
        if path.is_file() and set(_certificates(path)) != set(_parse(path, content))
    ]
    foreign = ClientFiles(directory).outdated(DesiredFiles(root=ca.root))
    lacking = [Path(file.path) for file in files if file.is_ours and not file.holds_root]
    made = {path: planned[path] for path in (*changed, *foreign, *lacking) if path in planned}
    renewal = propose(ClientFiles(directory), DesiredFiles(made, ca.root))
    return tuple(dict.fromkeys((*changed, *foreign))), renewal if renewal.plan else None
