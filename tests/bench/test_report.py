"""The bench's report: what the table says, and when a goal counts as missed."""

from __future__ import annotations

import json

import pytest

from tests.bench.load import LoadFailed, parse_wrk
from tests.bench.report import Measurement, Report, markdown

WRK = """\
Running 8s test @ https://app.dev.local:8443/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.40ms    0.50ms   9.00ms   99.99%
    Req/Sec    10.06k   300.00    11.00k    50.50%
  Latency Distribution
     50%    1.20ms
     75%    1.90ms
     90%    2.50ms
     99%  870.00us
  80512 requests in 8.00s, 90.10MB read
Requests/sec:  10064.00
"""


def _report(*rows: Measurement) -> Report:
    return Report("2026-01-02", "Linux", {"devtls": "1.0", "Caddy": "2.11", "nginx": "1.22"}, "make bench", list(rows))


def test_the_table_shows_medians_ratio_and_goal() -> None:
    row = Measurement("CPU", "µs", {"devtls": [30, 20, 500], "Caddy": [100, 90, 110]}, gate=0.6)
    assert "| CPU | 30.0 µs | 100 µs | – | 0.30 | ≤ 0.6: met |" in markdown(_report(row))


@pytest.mark.parametrize(
    ("samples", "met"),
    [({"devtls": [6.0], "Caddy": [10.0]}, True), ({"devtls": [7.0], "Caddy": [10.0]}, False), ({"Caddy": [1.0]}, None)],
)
def test_a_goal_is_a_share_of_caddys_median(samples: dict[str, list[float]], met: bool | None) -> None:
    row = Measurement("CPU", "µs", samples, gate=0.6)
    assert row.met is met
    assert _report(row).failed == ([row] if met is False else [])


def test_the_json_holds_every_sample() -> None:
    row = Measurement("CPU", "µs", {"devtls": [1.0, 2.0]}, gate=0.6)
    assert json.loads(json.dumps(_report(row).as_json()))["rows"][0]["samples"] == {"devtls": [1.0, 2.0]}


def test_wrks_report_is_read() -> None:
    load = parse_wrk(WRK)
    assert (load.requests, load.rate, load.p50_ms, load.p99_ms) == (80512, 10064.0, 1.2, 0.87)


@pytest.mark.parametrize("line", ["Non-2xx or 3xx responses: 3", "Socket errors: connect 1", "unable to connect"])
def test_a_run_with_failures_is_no_measurement(line: str) -> None:
    with pytest.raises(LoadFailed, match=line):
        parse_wrk(WRK + line)
