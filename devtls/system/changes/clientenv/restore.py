"""The way back: what the variables were before `devtls env`, read from the files that they name.

Owns telling our values from the user's own. Needs no CA, so it works after `devtls untrust --forget` as well. Refuses
to touch a variable that names nothing of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from devtls.system.changes.clientenv.java_options import named_truststore, without_ours
from devtls.system.changes.clientenv.probe import GIT_VARIABLE, git_setting, own_base, own_paths
from devtls.system.changes.clientenv.variables import JAVA_VARIABLE, VARIABLES


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
