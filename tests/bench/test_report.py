"""The bench's report: what the table says, and when a goal counts as missed."""

from __future__ import annotations

import json

import pytest

from tests.bench.load import LoadFailed, parse_wrk
from tests.bench.report import Measurement, Report, markdown, without_h2

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
    assert "| CPU | 30.0 µs | 100 µs | – | 0.30 | ≤ 0.6: met | – |  |" in markdown(_report(row))


def test_an_aim_is_shown_as_a_multiple_of_nginxs_and_missing_it_fails_nothing() -> None:
    row = Measurement("CPU", "µs", {"devtls": [30], "Caddy": [100], "nginx": [10]}, aim=2.5)
    assert "| CPU | 30.0 µs | 100 µs | 10.0 µs | 0.30 |  | 3.00 | ≤ 2.5 |" in markdown(_report(row))
    assert _report(row).failed == []


def test_a_note_stands_below_the_table() -> None:
    report = _report(Measurement("CPU, h2", "µs", {"Caddy": [100]}))
    report.notes.append(without_h2("devtls"))
    assert markdown(report).endswith("\n\ndevtls does not negotiate h2: its h2 rows are empty.\n")
    assert report.as_json()["notes"] == report.notes


@pytest.mark.parametrize(
    ("samples", "met"),
    [({"devtls": [6.0], "Caddy": [10.0]}, True), ({"devtls": [7.0], "Caddy": [10.0]}, False)],
)
def test_a_goal_is_a_share_of_caddys_median(samples: dict[str, list[float]], met: bool) -> None:
    row = Measurement("CPU", "µs", samples, gate=0.6)
    assert row.met is met
    assert _report(row).failed == ([] if met else [row])


def test_a_goal_that_was_not_measured_is_not_met() -> None:
    row = Measurement("CPU, h2", "µs", {"devtls": [], "Caddy": [1.0]}, gate=0.5)
    assert row.met is None
    assert _report(row).failed == [row]
    assert "| ≤ 0.5: not measured |" in markdown(_report(row))


def test_a_contender_that_was_left_out_fails_no_goal() -> None:
    row = Measurement("CPU", "µs", {"devtls": [1.0]}, gate=0.5)
    assert Report("2026-01-02", "Linux", {"devtls": "1.0"}, "make bench", [row]).failed == []


def test_the_json_holds_every_sample() -> None:
    row = Measurement("CPU", "µs", {"devtls": [1.0, 2.0]}, gate=0.6)
    assert json.loads(json.dumps(_report(row).as_json()))["rows"][0]["samples"] == {"devtls": [1.0, 2.0]}


def test_wrks_report_is_read() -> None:
    assert parse_wrk(WRK) == 80512


@pytest.mark.parametrize("line", ["Non-2xx or 3xx responses: 3", "Socket errors: connect 1", "unable to connect"])
def test_a_run_with_failures_is_no_measurement(line: str) -> None:
    with pytest.raises(LoadFailed, match=line):
        parse_wrk(WRK + line)


@pytest.mark.parametrize("text", ["", WRK.replace("80512 requests", "0 requests")])
def test_a_run_without_requests_is_no_measurement(text: str) -> None:
    with pytest.raises(LoadFailed, match="wrk said"):
        parse_wrk(text)
