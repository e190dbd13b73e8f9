"""How much memory a proxy takes when an app is slow, or a client takes nothing of what it asked for.

    python -m tests.bench memory

Owns the situations. Each meets a fresh process; what counts is the peak of its resident memory over what it had before.
Refuses to let one grow without end: past LIMIT_MIB the run is over.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench import slow_app
from tests.bench.contenders import LOAD_CORE, NAME, Contender
from tests.bench.h2load import Shape, command, parse_h2load
from tests.bench.load import LoadFailed, wait_for_port
from tests.bench.measure import Running, blaming
from tests.bench.process import Process
from tests.bench.report import Measurement, without_h2
from tests.bench.stalled import SHUT, WIDE_OPEN, stalled_client

LIMIT_MIB = 256
_HOLD_S = 1.5
_LOAD_TIMEOUT_S = 10.0
_REQUESTS = 1200
_SAMPLE_S = 0.02

Done = Callable[[], bool]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Situation:
    """What a contender is put into: `enter` yields a question whether it is over, and checks at its end that it was."""

    title: str
    enter: Callable[[Running, Path], AbstractContextManager[Done]]


@contextmanager
def slow_backend(folder: Path, port: int) -> Iterator[None]:
    """Run the slow app."""
    process = Process([sys.executable, str(slow_app.__file__), str(port)], core=LOAD_CORE, env={}, folder=folder)
    try:
        wait_for_port(port)
        yield
    finally:
        process.stop()


def peak_growth(contenders: Sequence[Contender], folder: Path, say: Say, note: Say) -> list[Measurement]:
    """Return one row per situation: MiB that each contender grew by at its peak."""
    rows = []
    for situation in SITUATIONS:
        say(situation.title)
        samples = {each.label: _growths(each, situation, folder, note) for each in contenders}
        rows.append(Measurement(situation.title, "MiB", samples))
    return rows


def _growths(contender: Contender, situation: Situation, folder: Path, note: Say) -> list[float]:
    running = Running(contender)
    try:
        if not running.speaks_h2:
            note(without_h2(contender.label))
            return []
        before_mib = running.process.rss_mib()
        with blaming(running), situation.enter(running, folder) as done:
            peak = peak_mib(running.process, before_mib, done)
        return [peak - before_mib]
    finally:
        running.process.stop()


def peak_mib(process: Process, before_mib: float, done: Done) -> float:
    """Watch until `done`; raises LoadFailed as soon as the process has grown by more than LIMIT_MIB."""
    peak = before_mib
    while not done():
        peak = max(peak, process.rss_mib())
        if peak - before_mib > LIMIT_MIB:
            raise LoadFailed(f"grew by more than {LIMIT_MIB} MiB")
        time.sleep(_SAMPLE_S)
    return peak


@contextmanager
def _slow_app(running: Running, folder: Path) -> Iterator[Done]:
    """400 requests at once, half of them answered late, half piece by piece."""
    paths = folder / "slow-paths"
    paths.write_text(f"https://{NAME}/delayed\nhttps://{NAME}/trickle\n")
    shape = Shape(h2=True, connections=4, streams=100, paths=paths)
    argv = ["taskset", "-c", str(LOAD_CORE), *command(running.port, shape, _REQUESTS)]
    deadline = time.monotonic() + _LOAD_TIMEOUT_S
    with (folder / "h2load.log").open("w+") as log, subprocess.Popen(argv, stdout=log, stderr=log) as load:
        try:
            yield lambda: load.poll() is not None or time.monotonic() > deadline
        finally:
            load.kill()
            load.wait()
        log.seek(0, os.SEEK_SET)
        parse_h2load(log.read(), shape, _REQUESTS)


def _stalled(window_bytes: int) -> Callable[[Running, Path], AbstractContextManager[Done]]:
    @contextmanager
    def enter(running: Running, _folder: Path) -> Iterator[Done]:
        with stalled_client(running.port, running.contender.root, "/large", window_bytes):
            over = time.monotonic() + _HOLD_S
            yield lambda: time.monotonic() > over

    return enter


SITUATIONS = (
    Situation("Slow app, h2load with 4 × 100 streams", _slow_app),
    Situation("100 × 100 MiB, client does not read", _stalled(WIDE_OPEN)),
    Situation("100 × 100 MiB, windows stay shut", _stalled(SHUT)),
)
