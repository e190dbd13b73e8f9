"""`make bench`: measure devtls, Caddy and nginx side by side in one run and print the table of the documentation.

    python -m tests.bench [speed|memory] [--quick] [--json] [--gate] [--only LABEL ...]

The proxies run on core 0, the load and the app behind them on core 1. stdout is the result, stderr the progress.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from tests.bench import measure, memory, suite
from tests.bench.contenders import LOAD_CORE, Caddy, Contender, Devtls, Nginx, free_port
from tests.bench.load import LoadFailed
from tests.bench.report import Measurement, Report, markdown, without_h2

_KINDS: tuple[type[Contender], ...] = (Devtls, Caddy, Nginx)
_NEEDED = {"nginx": "nginx", "h2load": "nghttp2-client", "wrk": "wrk", "curl": "curl", "taskset": "util-linux"}


def main() -> int:
    options = _options()
    if missing := [package for tool, package in _NEEDED.items() if not shutil.which(tool)]:
        _say(f"missing: sudo apt-get install {' '.join(missing)}")
        return 2
    if sys.platform != "linux" or (os.cpu_count() or 1) < 2:
        _say("the bench needs Linux and two cores")
        return 2
    os.sched_setaffinity(0, {LOAD_CORE})  # This process is a client too.
    began = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="devtls-bench-", ignore_cleanup_errors=True) as folder:
            report = _run(Path(folder), options)
    except LoadFailed as error:
        _say(f"no result: {error}")
        return 1
    _say(f"done in {time.monotonic() - began:.0f} s")
    sys.stdout.write(json.dumps(report.as_json(), indent=2) + "\n" if options.json else markdown(report))
    for row in report.failed:
        cost = "was not measured" if row.ratio is None else f"is {row.ratio:.2f} of Caddy's"
        _say(f"goal missed: {row.title} {cost}, at most {row.gate:g} is the goal")
    return 1 if options.gate and report.failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure devtls, Caddy and nginx.")
    parser.add_argument("what", nargs="?", choices=["speed", "memory"], default="speed", help="speed, or memory")
    parser.add_argument("--quick", action="store_true", help="a minute and a half, rougher numbers")
    parser.add_argument("--json", action="store_true", help="every sample, for programs")
    parser.add_argument("--gate", action="store_true", help="exit 1 when a goal is missed")
    labels = [kind.label for kind in _KINDS]
    parser.add_argument("--only", nargs="+", choices=labels, default=labels, help="leave some out")
    return parser.parse_args()


def _run(folder: Path, options: argparse.Namespace) -> Report:
    backend_port = free_port()
    contenders = [_prepare(kind, folder, backend_port) for kind in _KINDS if kind.label in options.only]
    report = Report(
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        machine=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        versions={each.label: each.version() for each in contenders},
        command="make bench" if options.what == "speed" else f"make bench BENCH={options.what}",
    )
    (folder / "backend").mkdir()
    if options.what == "memory":
        with memory.slow_backend(folder / "backend", backend_port):
            report.rows.extend(memory.peak_growth(contenders, folder, _say, partial(_note, report)))
    else:
        with measure.backend(folder / "backend", backend_port):
            _measure_speed(contenders, measure.QUICK if options.quick else measure.FULL, folder, report)
    return report


def _prepare(kind: type[Contender], folder: Path, backend_port: int) -> Contender:
    own = folder / kind.label.lower()
    own.mkdir()
    contender = kind(own, backend_port, free_port())
    contender.prepare()
    return contender


def _measure_speed(contenders: Sequence[Contender], effort: measure.Effort, folder: Path, report: Report) -> None:
    running: list[measure.Running] = []
    try:
        for contender in contenders:
            _say(f"start {contender.label}")
            running.append(measure.Running(contender))
        for each in running:
            if not each.speaks_h2:
                _note(report, without_h2(each.label))
        idle: list[Measurement] = suite.when_idle(running)
        report.rows.extend(suite.per_request(running, effort, folder, _say))
        report.rows.extend(suite.per_download(running, effort, _say))
        report.rows.extend(suite.per_name(running, effort, _say))
    finally:
        for each in running:
            each.process.stop()
    report.rows.extend(suite.per_start(contenders, effort, _say))
    report.rows.extend(idle)


def _note(report: Report, text: str) -> None:
    """Say it now, and once more below the table."""
    if text not in report.notes:
        _say(text)
        report.notes.append(text)


def _say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
