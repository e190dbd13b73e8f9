"""The facts of `devtls env`: the system's roots, and the files that the variables name already.

Owns reading; decides nothing. A variable that names a bundle of ours stands for what that bundle was made from, so that
ours never nest and a file of the user's own is found again. git's own setting counts as well, since its variable wins
over it.
"""

from __future__ import annotations

import ssl
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from devtls.system.changes.clientenv.bundle_file import base_of
from devtls.system.changes.clientenv.java_options import named_truststore, without_ours
from devtls.system.changes.clientenv.java_roots import JavaRootFacts, probe_java
from devtls.system.changes.clientenv.variables import BUNDLE_FILE, JAVA_VARIABLE, ROOT_FILE, VARIABLES
from devtls.system.changes.truststore.bundle import system_certificates
from devtls.system.changes.truststore.root import RootCertificate, certificates_in, ours

GIT_VARIABLE = "GIT_SSL_CAINFO"
_GIT_S = 5.0
_SERVER_AUTH = "1.3.6.1.5.5.7.3.1"


@dataclass(frozen=True, slots=True)
class Named:
    """A file or directory of the user's own that a variable names, and its certificates (DER; none: it is useless)."""

    path: str
    certificates: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class EnvironmentFacts:
    """`directory` is the state directory; `own` holds what the user's variables name, as far as they name anything."""

    directory: Path
    root: RootCertificate
    system: tuple[bytes, ...]
    own: Mapping[str, Named] = field(default_factory=dict)
    java: JavaRootFacts = field(default_factory=JavaRootFacts)


def probe(
    directory: Path, root: RootCertificate, environ: Mapping[str, str], system_root: Path = Path("/")
) -> EnvironmentFacts:
    """Read everything once."""
    own = {
        name: Named(path, _certificates(Path(path), directory)) for name, path in own_paths(environ, directory).items()
    }
    configured = git_setting(directory, environ) if GIT_VARIABLE not in own else None
    if configured:
        own[GIT_VARIABLE] = configured
    return EnvironmentFacts(directory, root, _system_roots(system_root), own, probe_java(environ))


def own_paths(environ: Mapping[str, str], directory: Path) -> dict[str, str]:
    """Return variable -> the file that the user named in it, also where it names a bundle of ours by now.

    Not so where that bundle was made from what another variable named: then the user had not set this one.
    """
    values = {variable.name: environ[variable.name] for variable in VARIABLES if environ.get(variable.name)}
    bases = {name: own_base(Path(value).absolute(), directory) for name, value in values.items()}
    found = {}
    for variable in VARIABLES:
        base = bases.get(variable.name)
        if base:
            # A bundle of ours got its base from a variable that this one's programs fall back to.
            is_ours = base != str(Path(values[variable.name]).absolute())
            if not (is_ours and any(bases.get(name) == base for name in variable.stands_in)):
                found[variable.name] = base
    return found


def own_base(path: Path, directory: Path) -> str:
    """Return the user's own file behind the one that a variable names; "" when there is only ours."""
    if path in (directory / ROOT_FILE, directory / BUNDLE_FILE):
        return ""
    base = base_of(_read(path)) if path.is_file() else None
    return str(path) if base is None else base


def _certificates(path: Path, directory: Path) -> tuple[bytes, ...]:
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    found = dict.fromkeys(der for file in files if file.is_file() for der in certificates_in(_read(file)))
    if path.is_relative_to(
        directory
    ):  # made by an earlier devtls trust: what is ours in it may be of a CA that is gone
        return tuple(der for der in found if ours(der) is None)
    return tuple(found)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""


def git_setting(directory: Path, environ: Mapping[str, str]) -> Named | None:
    """Return http.sslCAInfo of the user and the system; that of a repository holds in its directory only."""
    # In our directory, where no repository's own setting counts; --type=path expands its ~ (git-config(1)).
    argv = ["git", "-C", str(directory), "config", "--get", "--type=path", "http.sslCAInfo"]
    # GIT_DIR would name a repository all the same, whose setting holds for it alone.
    env = {name: value for name, value in environ.items() if name != "GIT_DIR"}
    try:
        asked = subprocess.run(
            argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_GIT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):  # no git, or nothing configured
        return None
    base = own_base(Path(asked.stdout.rstrip("\n")).absolute(), directory)
    return Named(base, _certificates(Path(base), directory)) if base else None


def _system_roots(system_root: Path) -> tuple[bytes, ...]:
    if sys.platform == "win32":
        return tls_roots(ssl.enum_certificates("ROOT"))
    return tuple(system_certificates(system_root))


def tls_roots(entries: Iterable[tuple[bytes, str, set[str] | bool]]) -> tuple[bytes, ...]:
    """Return the certificates of a Windows store that may speak for servers (`ssl.enum_certificates` gives them)."""
    return tuple(
        der
        for der, encoding, trust in entries
        # `True` means every purpose (ssl.enum_certificates); pkcs_7_asn entries are no single certificates.
        if encoding == "x509_asn" and (trust is True or (isinstance(trust, set) and _SERVER_AUTH in trust))
    )


def former_values(environ: Mapping[str, str], directory: Path) -> dict[str, str | None]:
    """Return variable -> the user's own value (None = it was not set), for each that names a file of ours."""
    own = own_paths(environ, directory)
    found: dict[str, str | None] = {}
    for name in (variable.name for variable in VARIABLES if environ.get(variable.name)):
        path = str(Path(environ[name]).absolute())
        if own_base(Path(path), directory) != path:
            found[name] = own.get(name)
    if found.get(GIT_VARIABLE) and _git_says_so(found[GIT_VARIABLE], directory, environ):
        found[GIT_VARIABLE] = None
    options = environ.get(JAVA_VARIABLE, "")
    if named_truststore(options):
        found[JAVA_VARIABLE] = without_ours(options) or None
    return found


def _git_says_so(path: str | None, directory: Path, environ: Mapping[str, str]) -> bool:
    """Say whether git goes by the same file without its variable: then that was most likely not set."""
    configured = git_setting(directory, environ)
    return configured is not None and configured.path == path
