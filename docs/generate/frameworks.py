"""The tables of frameworks: the lines that the log advises, and the versions that were tried with them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from devtls.http.frameworks import hot_reload, scheme
from devtls.http.frameworks.advice import FrameworkAdvice, Remedy
from devtls.http.frameworks.host_check import REFUSES_NAME, SIGNS
from docs.generate.configuration import table

LOCKS = Path(__file__).parents[2] / "tests/e2e/frameworks"
TRIED_ON = "2026-11-30"
"""When `make test-frameworks` last passed with the versions of the lock files."""

_BOTH = "on both names, with hot reload"
_HALF = "`app.localhost`, with hot reload"
TRIED = (
    ("Angular", "angular", "@angular/cli", _HALF, _BOTH),
    ("Astro", "astro", "astro", f"{_HALF}; no forms", f"{_BOTH} and forms"),
    ("Django", "python", "django", "`app.localhost`; no forms, so no admin", "on both names, with the admin"),
    ("Express, express-session", "express", "express", "on both names; no secure cookie", "with the cookie"),
    ("FastAPI, uvicorn", "python", "fastapi", "on both names, with `https` in its URLs", "-"),
    ("Flask", "python", "flask", "on both names; `http` in its URLs", "`https` in its URLs"),
    ("Jupyter Server", "python", "jupyter-server", "on no name", "on both names, with kernels"),
    ("Next.js", "next", "next", f"{_HALF}; `https` in its URLs", _BOTH),
    ("Nuxt", "nuxt", "nuxt", _HALF, _BOTH),
    ("Storybook", "storybook", "storybook", "`app.localhost`; no hot reload", _BOTH),
    ("SvelteKit", "sveltekit", "@sveltejs/kit", f"{_HALF}; `http` in its URLs", f"{_BOTH} and `https`"),
    ("Vite", "vite", "vite", _HALF, _BOTH),
    ("webpack-dev-server", "webpack", "webpack-dev-server", "`app.localhost`; no hot reload", _BOTH),
)
"""Framework, directory of its lock file, package, how it works without a setting, and with the settings."""

_PROBLEMS = {
    **{sign.advice: "forms are refused, since it takes its address for http" for sign in SIGNS},
    hot_reload.WEBPACK: "hot reload: the page dials the app's own port, without TLS",
    hot_reload.VITE: "hot reload, where Vite runs inside another server: the same",
    scheme.MISSING_COOKIE: "a session with `cookie.secure` sets no cookie",
    scheme.OWN_URL: "URLs that it makes of its own address begin with `http://`",
}
_EXAMPLE = {
    "{host}": "app.dev.local",
    "{hosts}": ', "app.dev.local", "app.localhost", "app.test"',
    "{zones}": ', ".dev.local"',
    "{origin}": "https://app.dev.local",
    "{port}": "443",
}
"""What stands in the place of the placeholders in a page."""


def frameworks() -> str:
    """Return the table of frameworks that refuse a name, with the line that makes them accept it."""
    rows = {
        name: (*row, *("yes" if works else "no" for works in (advice.localhost_works, advice.upstream_works)))
        for advice in (sign.advice for sign in SIGNS if sign.advice.problem == REFUSES_NAME)
        for name, *row in _rows(advice)
    }
    titles = ("Framework", "File", "Line", "`app.localhost`", '`"upstream"`')
    return table(titles, ((name, *rows[name]) for name in sorted(rows)))


def problems() -> str:
    """Return the table of what else the log has an advice for."""
    refusals = (sign.advice for sign in SIGNS if sign.advice.problem != REFUSES_NAME)
    advices = (*refusals, hot_reload.WEBPACK, hot_reload.VITE, scheme.MISSING_COOKIE, scheme.OWN_URL)
    rows = [(name, _PROBLEMS[advice], *row) for advice in advices for name, *row in _rows(advice)]
    return table(("Framework", "What does not work", "File", "Line"), sorted(rows))


def tried() -> str:
    """Return the table of frameworks that tests run, in the versions of their lock files."""
    titles = ("Framework", "Version", "Works as it is", "Works with the lines above")
    rows = ((name, version(lock, package), *works) for name, lock, package, *works in TRIED)
    return f"Tried on {TRIED_ON}:\n\n{table(titles, rows)}"


def version(lock: str, package: str) -> str:
    """Return the version of a package in a lock file."""
    if lock == "python":
        found = re.search(rf"^{package}==(\S+)", (LOCKS / lock / "requirements.txt").read_text(), re.MULTILINE)
        if found is None:
            raise ValueError(f"{package} is not in the lock file")
        return found[1]
    locked = json.loads((LOCKS / lock / "package-lock.json").read_text())
    return str(locked["packages"][f"node_modules/{package}"]["version"])


def _rows(advice: FrameworkAdvice) -> Iterator[tuple[str, str, str]]:
    for setting in advice.settings:
        yield setting.framework or advice.framework, _file(setting), f"`{_example(setting.line)}`"


def _file(setting: Remedy) -> str:
    name, parenthesis, rest = setting.file.partition(" (")
    return f"`{name}`{parenthesis}{rest}" if "." in name else setting.file


def _example(line: str) -> str:
    for name, value in _EXAMPLE.items():
        line = line.replace(name, value)
    return line
