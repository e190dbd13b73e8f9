"""The file that the commands which read or write routes work on.

Owns the rule: the file that is named, the user's own with `--global`, else the one that `devtls serve` would use here;
and the line about a mistake in it, for commands that go on all the same, since they need no route.
"""

from __future__ import annotations

from pathlib import Path

from devtls.config import CaConfig, Config, parse_ca_section, parse_config
from devtls.errors import ConfigError
from devtls.operations.reporter import Reporter
from devtls.system.machine.paths import Paths
from devtls.system.storage.config_discovery import FILE_NAME, Found, find_config, named_config, read_config_file

_GOES_ON = "This command goes on without it."


def config_here(paths: Paths) -> Path | None:
    """Return the file that counts in the current directory, None when there is none."""
    found = find_config(Path.cwd(), home=Path.home(), config_dir=paths.config_dir)
    return None if found is None else found.path


def wants_ocsp(paths: Paths, reporter: Reporter) -> bool:
    """Say whether certificates are to name the OCSP responder: `ocsp` in the file that counts here.

    Nothing else of the file counts, so none needs `devtls allow` for it, and a mistake elsewhere is only reported.
    Raises ConfigError for a mistake in `[ca]`.
    """
    path = config_here(paths)
    if path is None:
        return False
    try:
        # Not load_config: that asks for devtls allow, and [ca] ocsp grants a file nothing.
        return _parse(path).ca.ocsp
    except ConfigError as error:
        ca = _ca_despite(error, path)
        reporter.warning(f"{error} {_GOES_ON}")
        return ca.ocsp


def _ca_despite(mistake: ConfigError, path: Path) -> CaConfig:
    try:
        return parse_ca_section(read_config_file(path), source=str(path), directory=str(path.parent))
    except ConfigError as error:
        # The one section that is needed; a file that is no TOML at all says nothing of it.
        if error.key.split(".")[0] == "ca":
            raise error from mistake
        return CaConfig()


def report_mistake(paths: Paths, reporter: Reporter) -> None:
    """Report a mistake in the file that counts here, in one line: for commands that need nothing of it."""
    path = config_here(paths)
    try:
        if path is not None:
            _parse(path)
    except ConfigError as error:
        reporter.warning(f"{error} {_GOES_ON}")


def _parse(path: Path) -> Config:
    return parse_config(read_config_file(path), source=str(path), directory=str(path.parent))


def chosen_file(paths: Paths, named: Path | None, of_user: bool) -> Found:
    """Return the named file, the user's own or the one that counts here; it need not exist."""
    if named is not None:
        return named_config(named)
    if of_user:
        return Found(paths.config_dir / FILE_NAME, explicit=False)
    return Found(config_here(paths) or Path.cwd() / FILE_NAME, explicit=False)


def display_path(path: Path) -> str:
    """Return a file's name relative to the current directory, or to the home directory, where it lies below one."""
    for directory, prefix in ((Path.cwd(), ""), (Path.home(), "~/")):
        if path.is_relative_to(directory):
            return f"{prefix}{path.relative_to(directory)}"
    return str(path)
