"""`make bench`: measure devtls, Caddy and nginx side by side in one run and print the table of the README.

    python -m tests.bench [--quick] [--json] [--gate] [--only LABEL ...]

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
from pathlib import Path

from tests.bench import measure
from tests.bench.contenders import LOAD_CORE, Caddy, Contender, Devtls, Nginx, free_port
from tests.bench.report import Measurement, Report, markdown

_KINDS: tuple[type[Contender], ...] = (Devtls, Caddy, Nginx)
_NEEDED = {"nginx": "nginx", "wrk": "wrk", "curl": "curl", "taskset": "util-linux"}


def main() -> int:
    options = _options()
    if missing := [package for tool, package in _NEEDED.items() if not shutil.which(tool)]:
        _say(f"missing: sudo apt-get install {' '.join(missing)}")
        return 2
    if sys.platform != "linux" or (os.cpu_count() or 1) < 2:
        _say("the bench needs Linux and two cores")
        return 2
    effort = measure.QUICK if options.quick else measure.FULL
    os.sched_setaffinity(0, {LOAD_CORE})  # This process is a client too.
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="devtls-bench-", ignore_cleanup_errors=True) as folder:
        report = _run(Path(folder), [kind for kind in _KINDS if kind.label in options.only], effort)
    _say(f"done in {time.monotonic() - began:.0f} s")
    sys.stdout.write(json.dumps(report.as_json(), indent=2) + "\n" if options.json else markdown(report))
    for row in report.failed:
        _say(f"goal missed: {row.title} is {row.ratio:.2f} of Caddy's, at most {row.gate:g} is the goal")
    return 1 if options.gate and report.failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure devtls, Caddy and nginx.")
    parser.add_argument("--quick", action="store_true", help="about a minute, rougher numbers")
    parser.add_argument("--json", action="store_true", help="every sample, for programs")
    parser.add_argument("--gate", action="store_true", help="exit 1 when a goal is missed")
    labels = [kind.label for kind in _KINDS]
    parser.add_argument("--only", nargs="+", choices=labels, default=labels, help="leave some out")
    return parser.parse_args()


def _run(folder: Path, kinds: Sequence[type[Contender]], effort: measure.Effort) -> Report:
    backend_port = free_port()
    contenders = [_prepare(kind, folder, backend_port) for kind in kinds]
    report = Report(
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        machine=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        versions={each.label: each.version() for each in contenders},
        command="make bench",
    )
    (folder / "backend").mkdir()
    with measure.backend(folder / "backend", backend_port):
        report.rows.extend(_measure(contenders, effort, folder))
    return report


def _prepare(kind: type[Contender], folder: Path, backend_port: int) -> Contender:
    own = folder / kind.label.lower()
    own.mkdir()
    contender = kind(own, backend_port, free_port())
    contender.prepare()
    return contender


def _measure(contenders: Sequence[Contender], effort: measure.Effort, folder: Path) -> list[Measurement]:
    running: list[measure.Running] = []
    try:
        for contender in contenders:
            _say(f"start {contender.label}")
            running.append(measure.Running(contender))
        idle = measure.idle_rss_mib(running)
        _say("CPU per request")
        cpu = measure.cpu_per_request_us(running, effort, folder)
        _say("CPU per request, every head different")
        varied = measure.cpu_per_request_us(running, effort, folder, varied=True)
        _say("CPU of a download")
        large = measure.download_cpu_ms(running, effort)
        _say("first request to a new name")
        minting = [each for each in running if not isinstance(each.contender, Nginx)]  # nginx mints nothing.
        first, again = measure.first_request_ms(minting, effort)
    finally:
        for each in running:
            each.process.stop()
    _say("start to first answer")
    starts = measure.start_ms(contenders, effort)
    return [
        Measurement("CPU per request (1 KiB, kept connections)", "µs", cpu, gate=0.6),
        Measurement("The same, every request's path and a field different", "µs", varied),
        Measurement("CPU of a 100 MiB download", "ms", large),
        Measurement("First request to a never-seen name", "ms", first, gate=0.5),
        Measurement("The same name again, new connection", "ms", again),
        Measurement("Command to first answer", "ms", starts, gate=2.5),
        Measurement("Memory when idle", "MiB", idle),
    ]


def _say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
