"""h2load: many requests over kept connections, in either version of HTTP, counted and bounded.

Owns its command line and its report. Refuses a run in which one request failed or the version was not the one that was
asked for: its numbers would mean nothing. Strategy: a run is a number of requests, not of seconds, because only then
does h2load account for every one of them; a run by time says nothing of connections that it lost.

h2load checks no certificate. It cannot vary a field either: what varies are the paths.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.bench.contenders import NAME
from tests.bench.load import LoadFailed, on_load_core

_PROTOCOLS = {True: "h2", False: "http/1.1"}
_PATHS = 20_000


@dataclass(frozen=True)
class Shape:
    """How the requests come: in which version, on how many connections, how many at once on each, for which paths.

    `paths` is a file of URIs that each connection goes through in order; None asks for `/` again and again.
    """

    h2: bool
    connections: int
    streams: int = 1
    paths: Path | None = None

    @property
    def protocol(self) -> str:
        return _PROTOCOLS[self.h2]


@dataclass(frozen=True)
class Load:
    """What one run did."""

    requests: int
    rate: float


def write_paths(path: Path, paths: int = _PATHS) -> Path:
    """Write a file for Shape.paths: `/` with another query on each line."""
    path.write_text("".join(f"https://{NAME}/?{number}\n" for number in range(paths)))
    return path


def command(port: int, shape: Shape, requests: int) -> list[str]:
    """Return the command line of one run; the name goes into SNI and authority, the connections to loopback."""
    base = f"https://{NAME}:{port}/"
    return [
        "h2load",
        f"--connect-to=127.0.0.1:{port}",
        f"--npn-list={shape.protocol}",
        f"--requests={requests}",
        f"--clients={shape.connections}",
        f"--max-concurrent-streams={shape.streams}",
        *([base] if shape.paths is None else [f"--base-uri={base}", f"--input-file={shape.paths}"]),
    ]


def run_h2load(port: int, shape: Shape, requests: int, timeout_s: float) -> Load:
    """Send `requests` in that shape; raises LoadFailed when one of them failed or the time is up."""
    done = on_load_core(*command(port, shape, requests), timeout_s=timeout_s)
    return parse_h2load(done.stdout + done.stderr, shape, requests)


def parse_h2load(text: str, shape: Shape, requests: int) -> Load:
    """Read h2load's report on `requests`; raises LoadFailed unless each of them was answered with 2xx as asked."""
    spoken = set(re.findall(r"^Application protocol: (.*)$", text, re.MULTILINE))
    if spoken != {shape.protocol}:
        raise LoadFailed(f"h2load spoke {', '.join(sorted(spoken)) or 'nothing'}, not {shape.protocol}: {_end(text)}")
    ended = _counts(r"^requests: (.*)$", text)
    codes = _counts(r"^status codes: (.*)$", text)
    good = dict.fromkeys(("total", "started", "done", "succeeded"), requests)
    if ended != {**good, "failed": 0, "errored": 0, "timeout": 0}:
        raise LoadFailed(f"of {requests} requests: {ended}, {codes}")
    if codes != {"2xx": requests, "3xx": 0, "4xx": 0, "5xx": 0}:
        raise LoadFailed(f"of {requests} answers: {codes}")
    rate = re.search(r"^finished in .*, ([\d.]+) req/s", text, re.MULTILINE)
    if rate is None:
        raise LoadFailed(f"h2load said: {_end(text)}")
    return Load(requests, float(rate.group(1)))


def _counts(pattern: str, text: str) -> Mapping[str, int]:
    """Read `20 total, 3 failed` as numbers by name."""
    found = re.search(pattern, text, re.MULTILINE)
    if found is None:
        raise LoadFailed(f"h2load said: {_end(text)}")
    return {name: int(number) for number, name in re.findall(r"(\d+) (\w+)", found.group(1))}


def _end(text: str) -> str:
    return text.strip()[-300:]
