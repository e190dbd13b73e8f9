"""What `make bench` measures, in which order, and what devtls may cost: the rows of the table.

Owns titles, gates and the shapes of the load. Contenders that do not negotiate h2 are left out of its rows, and the
table says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tests.bench import measure
from tests.bench.contenders import Contender, Nginx
from tests.bench.h2load import Shape, write_paths
from tests.bench.load import CONNECTIONS
from tests.bench.measure import Effort, Running
from tests.bench.report import Measurement

Say = Callable[[str], None]

_H1 = Shape(h2=False, connections=CONNECTIONS)
_H2 = Shape(h2=True, connections=4, streams=32)
_H2_ONE = Shape(h2=True, connections=1, streams=100)


def per_request(running: Sequence[Running], effort: Effort, folder: Path, say: Say) -> list[Measurement]:
    """Return the rows of CPU time per request."""
    speaking = [each for each in running if each.speaks_h2]
    rows = []
    for title, shape, aim in (
        ("CPU per request, h1, 32 connections", _H1, 2.0),
        ("CPU per request, h2, 4 × 32 streams", _H2, 2.5),
        ("CPU per request, h2, 1 × 100 streams", _H2_ONE, 2.5),
    ):
        say(title)
        samples = measure.cpu_per_request_us(speaking if shape.h2 else running, effort, shape)
        rows.append(Measurement(title, "µs", samples, gate=0.5, aim=aim))
    title = "The same, h1, every path and a field different"
    say(title)
    rows.append(Measurement(title, "µs", measure.cpu_per_varied_request_us(running, effort, folder)))
    title = "The same, h2, 4 × 32, every path different"
    say(title)
    shape = Shape(h2=True, connections=4, streams=32, paths=write_paths(folder / "paths"))
    rows.append(Measurement(title, "µs", measure.cpu_per_request_us(speaking, effort, shape)))
    return rows


def per_download(running: Sequence[Running], effort: Effort, say: Say) -> list[Measurement]:
    """Return the rows of CPU time per large body."""
    rows = []
    for title, h2 in (("CPU of a 100 MiB download, h1", False), ("CPU of a 100 MiB download, h2", True)):
        say(title)
        samples = measure.download_cpu_ms([each for each in running if each.speaks_h2 or not h2], effort, h2=h2)
        rows.append(Measurement(title, "ms", samples, gate=1.3))
    return rows


def per_name(running: Sequence[Running], effort: Effort, say: Say) -> list[Measurement]:
    """Return the rows of the first and the second request to a name."""
    say("first request to a new name")
    minting = [each for each in running if not isinstance(each.contender, Nginx)]  # nginx mints nothing.
    first, again = measure.first_request_ms(minting, effort)
    return [
        Measurement("First request to a never-seen name", "ms", first, gate=0.5),
        Measurement("The same name again, new connection", "ms", again),
    ]


def per_start(contenders: Sequence[Contender], effort: Effort, say: Say) -> list[Measurement]:
    """Return the row of the start; nothing of the contenders may be running."""
    say("start to first answer")
    return [Measurement("Command to first answer", "ms", measure.start_ms(contenders, effort), gate=2.5)]


def when_idle(running: Sequence[Running]) -> list[Measurement]:
    """Return the row of memory; before any load."""
    return [Measurement("Memory when idle", "MiB", measure.idle_rss_mib(running))]
