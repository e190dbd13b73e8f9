"""The measurements. Each takes running or startable contenders and returns one number per contender and round.

Owns the order: contenders alternate inside a round, so that a noisy minute hits all of them.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.contenders import LOAD_CORE, NAME, Contender, nginx_argv, write_nginx
from tests.bench.h2load import Shape, run_h2load
from tests.bench.load import LoadFailed, context_for, download, fetch, negotiates_h2, run_wrk, wait_for_answer
from tests.bench.process import Process

BODY_BYTES = 1024
LARGE_BYTES = 100 * 2**20
_START_TIMEOUT_S = 20.0
_TOO_SLOW = 5
"""So many times the time that a run should take is an error."""


@dataclass(frozen=True)
class Effort:
    """How long to measure."""

    warm_requests: int = 12_000
    run_s: int = 8
    rounds: int = 3
    downloads: int = 3
    names: int = 200
    starts: int = 10


FULL = Effort()
QUICK = Effort(warm_requests=4_000, run_s=2, rounds=2, downloads=1, names=50, starts=4)


class Running:
    """A contender that has answered at least once."""

    def __init__(self, contender: Contender) -> None:
        self.contender = contender
        self.process = contender.start()
        try:
            self.context = _first_answer(contender, self.process)
            self.speaks_h2 = negotiates_h2(contender.port, contender.root)
        except BaseException:
            self.process.stop()
            raise

    @property
    def label(self) -> str:
        return self.contender.label

    @property
    def port(self) -> int:
        return self.contender.port


@contextmanager
def blaming(running: Running) -> Iterator[None]:
    """Put the contender's name before what went wrong with it."""
    try:
        yield
    except LoadFailed as error:
        raise LoadFailed(f"{running.label}: {error}") from error


@contextmanager
def backend(folder: Path, port: int) -> Iterator[None]:
    """Run the app that all proxies stand in front of: 1 KiB at /, 100 MiB at /large, yes at /ask."""
    (folder / "large").touch()
    with (folder / "large").open("r+b") as large:
        large.truncate(LARGE_BYTES)
    write_nginx(
        folder,
        f" server {{\n  listen 127.0.0.1:{port};\n  default_type application/octet-stream;\n"
        f"  location = / {{ return 200 {'x' * BODY_BYTES}; }}\n  location = /ask {{ return 200; }}\n"
        f"  location = /large {{ root {folder}; }}\n }}\n",
    )
    process = Process(nginx_argv(folder), core=LOAD_CORE, env={}, folder=folder)
    try:
        yield
    finally:
        process.stop()


def idle_rss_mib(running: Sequence[Running]) -> dict[str, list[float]]:
    return {each.label: [each.process.rss_mib()] for each in running}


def cpu_per_request_us(running: Sequence[Running], effort: Effort, shape: Shape) -> dict[str, list[float]]:
    """Return CPU microseconds of the proxy per request of that shape, one number per round."""
    timeout_s = effort.run_s * _TOO_SLOW
    # How many fill the time is another number for each contender; the warming up tells.
    requests = {}
    for each in running:
        with blaming(each):
            rate = run_h2load(each.port, shape, effort.warm_requests, timeout_s).rate
        requests[each.label] = round(rate * effort.run_s)
    return _cpu(
        running, effort, 1e6, lambda each: run_h2load(each.port, shape, requests[each.label], timeout_s).requests
    )


def cpu_per_varied_request_us(running: Sequence[Running], effort: Effort, folder: Path) -> dict[str, list[float]]:
    """Return the same over HTTP/1.1 for requests whose heads all differ."""
    return _cpu(running, effort, 1e6, lambda each: run_wrk(each.port, effort.run_s, folder))


def download_cpu_ms(running: Sequence[Running], effort: Effort, *, h2: bool) -> dict[str, list[float]]:
    """Return CPU milliseconds of the proxy for one download of 100 MiB, one number per round."""

    def fetch_all(each: Running) -> int:
        for _ in range(effort.downloads):
            came = download(each.port, each.contender.root, "/large", h2=h2)
            if came != LARGE_BYTES:
                raise LoadFailed(f"delivered {came} of {LARGE_BYTES} bytes")
        return effort.downloads

    return _cpu(running, effort, 1e3, fetch_all)


def _cpu(
    running: Sequence[Running], effort: Effort, units_per_s: float, work: Callable[[Running], int]
) -> dict[str, list[float]]:
    """Return CPU time of the proxy per piece of work, one number per round; `work` returns how many pieces it did."""
    found: dict[str, list[float]] = {each.label: [] for each in running}
    for _ in range(effort.rounds):
        for each in running:
            before_s = each.process.cpu_s()
            with blaming(each):
                pieces = work(each)
            found[each.label].append((each.process.cpu_s() - before_s) / pieces * units_per_s)
    return found


def first_request_ms(
    running: Sequence[Running], effort: Effort
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Return milliseconds of the first and of the second request to each of many names, all on fresh connections."""
    first: dict[str, list[float]] = {each.label: [] for each in running}
    again: dict[str, list[float]] = {each.label: [] for each in running}
    for number in range(effort.names):
        name = f"n{number:04}.{NAME}"
        for each in running:
            _leave_the_full_second()
            first[each.label].append(fetch(each.port, name, each.context) * 1e3)
            again[each.label].append(fetch(each.port, name, each.context) * 1e3)
    return first, again


def start_ms(contenders: Sequence[Contender], effort: Effort) -> dict[str, list[float]]:
    """Return milliseconds from starting the command to the end of the first answer; the CA exists already."""
    found: dict[str, list[float]] = {each.label: [] for each in contenders}
    for _ in range(effort.starts):
        for each in contenders:
            context = context_for(each.root)
            began = time.perf_counter()
            process = each.start()
            try:
                wait_for_answer(each.port, context, began + _START_TIMEOUT_S)
                found[each.label].append((time.perf_counter() - began) * 1e3)
            finally:
                process.stop()
    return found


def _leave_the_full_second() -> None:
    """Wait while the clock is about to turn to, or has just turned to, a new second.

    Caddy's certificates begin at the very second of their making; OpenSSL reads a clock that lags by up to 4 ms, and
    refuses one made just after the turn as not yet valid.
    """
    while not 0.01 < time.time() % 1 < 0.97:
        time.sleep(0.005)


def _first_answer(contender: Contender, process: Process) -> ssl.SSLContext:
    deadline = time.perf_counter() + _START_TIMEOUT_S
    while True:
        try:
            context = context_for(contender.root)
            wait_for_answer(contender.port, context, time.perf_counter() + 0.1)
        except OSError as error:
            if not process.alive or time.perf_counter() > deadline:
                raise RuntimeError(f"{contender.label} does not answer: {process.output()[-2000:]}") from error
            time.sleep(0.05)
        else:
            return context
