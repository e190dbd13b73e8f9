"""Real frameworks, installed from lock files, and the advice of the log written into their configuration word for word.

Owns the copies of `tests/e2e/frameworks`, Node in a version that all of them take, and `devtls serve` with a log that
can be read. Refuses an advice that names a file which the app does not have. Strategy: an advice goes where the
app's configuration says `advice` (before `"buildTarget"` in Angular's, which is JSON), so that it is tried as the log
said it.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.serving import DEVTLS, Serving, running, serving
from tests.locks import free_port

FRAMEWORKS = Path(__file__).parent / "frameworks"
NEWEST_NODE = (24, 15)
"""What Angular 22 asks for; the others take older ones."""

_QUIET = {
    "NEXT_TELEMETRY_DISABLED": "1",
    "ASTRO_TELEMETRY_DISABLED": "1",
    "NUXT_TELEMETRY_DISABLED": "1",
    "STORYBOOK_DISABLE_TELEMETRY": "1",
    "NG_CLI_ANALYTICS": "false",
}
_INSTALL_TIMEOUT_S = 300
_READY_S = 120.0
"""How long a first build may take on a busy machine."""
_EVENT_TIMEOUT_S = 20.0

Environ = Mapping[str, str]


@dataclass(frozen=True)
class FrameworkApp:
    """A framework's app in a directory of its own; `argv` has `{port}` where its port goes."""

    name: str
    directory: Path
    argv: tuple[str, ...]
    env: Environ
    port: int

    def running(self) -> Any:
        """Run it until the block ends."""
        argv = [part.format(port=self.port) for part in self.argv]
        env = {**self.env, "PORT": str(self.port)}
        return running(argv, directory=self.directory, port=self.port, env=env, ready_s=_READY_S)

    def write(self, file: str, old: str, new: str) -> None:
        """Change a file as its author would, in place."""
        path = self.directory / file
        text = path.read_text()
        assert old in text, f"{file} has no {old!r}"
        path.write_text(text.replace(old, new, 1))

    def follow(self, setting: Mapping[str, str]) -> None:
        """Write the line of an advice into the file that it names."""
        file, line = setting["file"].partition(" (")[0], setting["line"]
        if "." not in file:
            file = "server.js" if self.name == "express" else "app.py"
        path = self.directory / file
        assert path.is_file(), f"the log names {file}, which {self.name} does not have"
        match path.suffix:
            case ".json":
                self.write(file, '"buildTarget"', f'{line}, "buildTarget"')
            case ".py":
                if above := re.search(r"from [\w.]+ import \w+", setting["file"]):
                    path.write_text(f"{above[0]}\n{path.read_text()}")
                self.write(file, "# advice", f"{line}\n# advice")
            case _ if line.startswith("plugins: [..., "):
                self.write(file, "plugins: [", f"plugins: [{line.removeprefix('plugins: [..., ').removesuffix(']')}, ")
            case _ if self.name == "webpack":
                self.write(file, "/* advice */", f"{{ {line} }}, /* advice */")
            case _:
                end = ";" if self.name == "express" else ","
                self.write(file, "/* advice */", f"{line}{end} /* advice */")


def npm_app(name: str, home: Path, environ: Environ, *argv: str) -> FrameworkApp:
    """Copy and install an app of npm; `argv[0]` is a program of its packages."""
    directory = _copy(name, home)
    _install(directory, environ)
    path = f"{directory / 'node_modules/.bin'}:{_node_path(home, environ)}"
    # A program of npm starts with `env node`, so the newer Node has to be found first.
    env = {**_QUIET, "PATH": path}
    return FrameworkApp(name, directory, argv, env, free_port())


def python_app(name: str, home: Path, python: Path, *argv: str) -> FrameworkApp:
    """Copy an app of Python; `python` is the interpreter that has the packages of the lock file."""
    return FrameworkApp(name, _copy(name, home), (str(python), *argv), {"PYTHONUNBUFFERED": "1"}, free_port())


def python_packages(home: Path, environ: Environ) -> Path:
    """Make an environment with the packages of the lock file, and return its interpreter."""
    directory, lock = home / "packages", FRAMEWORKS / "python/requirements.txt"
    python = directory / "bin/python"
    if uv := shutil.which("uv", path=environ.get("PATH")):
        steps = [
            [uv, "venv", "--quiet", "--python", sys.executable, str(directory)],
            [uv, "pip", "install", "--quiet", "--python", str(python), "--require-hashes", "-r", str(lock)],
        ]
    else:
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        steps = [[sys.executable, "-m", "venv", str(directory)], [*pip, "--require-hashes", "-r", str(lock)]]
    for argv in steps:
        _run(argv, home, environ)
    return python


def _copy(name: str, home: Path) -> Path:
    directory = home / name
    shutil.copytree(FRAMEWORKS / name, directory, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
    return directory


def _install(directory: Path, environ: Environ) -> None:
    """Run npm with the user's own settings (registry, proxy, cache): versions and hashes are those of the lock file."""
    # Not `npm ci`: it refuses a lock file that was written where a package for another system could not be had.
    _run(["npm", "install", "--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error"], directory, environ)


def _node_path(home: Path, environ: Environ) -> str:
    path = environ.get("PATH", os.defpath)
    said = subprocess.run(["node", "--version"], env=environ, capture_output=True, text=True, timeout=20, check=False)
    found = re.match(r"v(\d+)\.(\d+)", said.stdout)
    if found is not None and (int(found[1]), int(found[2])) >= NEWEST_NODE:
        return path
    directory = _copy("node", home)
    _install(directory, environ)
    newer = next((directory / "node_modules").glob("node-*/bin/node"))
    return f"{newer.parent}:{path}"


def _run(argv: list[str], directory: Path, environ: Environ) -> None:
    done = subprocess.run(
        argv, cwd=directory, env=dict(environ), capture_output=True, text=True, timeout=_INSTALL_TIMEOUT_S, check=False
    )
    assert done.returncode == 0, f"{argv}: {done.stderr[-4000:]}"


@dataclass(frozen=True)
class Proxied:
    """`devtls serve` in front of one app, and the lines of its log."""

    proxy: Serving
    name: str

    def url(self, zone: str, path: str = "/") -> str:
        return self.proxy.url(f"{self.name}.{zone}", path)

    def advice(self, event: str) -> list[dict[str, Any]]:
        """Return the lines about frameworks so far."""
        lines = (line for line in self.proxy.program.output().splitlines() if line.startswith("{"))
        return [each for each in map(json.loads, lines) if each["event"] == event]

    async def advised(self, wanted: Callable[[dict[str, Any]], bool], event: str = "framework") -> dict[str, Any]:
        """Wait for a line about the framework and return it."""
        deadline = asyncio.get_running_loop().time() + _EVENT_TIMEOUT_S
        while True:
            for line in self.advice(event):
                if wanted(line):
                    return line
            assert asyncio.get_running_loop().time() < deadline, self.proxy.program.output()[-3000:]
            await asyncio.sleep(0.05)

    async def refused(self, zone: str) -> dict[str, Any]:
        """Wait for the line about a name that was refused."""
        return await self.advised(lambda line: line["host"] == f"{self.name}.{zone}", "host_check")


@asynccontextmanager
async def proxied(home: Path, app: FrameworkApp) -> AsyncIterator[Proxied]:
    """Run `devtls serve` with one route, named as the app is; browsers of this home trust it."""
    directory = home / "route"
    directory.mkdir(exist_ok=True)
    settings = f"[dns]\nenabled = false\n[pac]\nenabled = false\n[routes]\n{app.name} = {app.port}\n"
    (directory / "devtls.toml").write_text(settings)
    async with serving(home, "--log-format", "json", directory=directory) as proxy:
        done = await asyncio.to_thread(
            subprocess.run, [*DEVTLS, "trust", "--yes", "--store", "nss"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        yield Proxied(proxy, app.name)
