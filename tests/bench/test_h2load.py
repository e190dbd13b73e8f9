"""h2load: what is asked of it, and which of its reports count."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.bench.conftest import H2ClientCodec
from tests.bench.contenders import NAME
from tests.bench.h2load import Load, Shape, command, parse_h2load, run_h2load, write_paths
from tests.bench.load import LoadFailed
from tests.conftest import RequireTool

H1 = Shape(h2=False, connections=32)
H2 = Shape(h2=True, connections=4, streams=32)
REPORT = """\
starting benchmark...
spawning thread #0: 32 total client(s). 20000 total requests
TLS Protocol: TLSv1.3
Cipher: TLS_AES_128_GCM_SHA256
Server Temp Key: X25519 253 bits
Application protocol: http/1.1
progress: 10% done
progress: 100% done

finished in 1.45s, 13747.92 req/s, 15.47MB/s
requests: 20000 total, 20000 started, 20000 done, 20000 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 20000 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 22.51MB (23600000) total, 2.23MB (2340000) headers (space savings 0.00%), 19.53MB (20480000) data
                     min         max         mean         sd        +/- sd
time for request:      103us     14.68ms      2.29ms      1.31ms    87.82%
time for connect:     2.87ms     15.61ms      9.40ms      3.88ms    59.38%
time to 1st byte:    16.38ms     19.23ms     18.08ms      1.02ms    62.50%
req/s           :     429.86      439.28      433.48        2.83    56.25%
"""


def test_its_report_is_read() -> None:
    assert parse_h2load(REPORT, H1, 20000) == Load(20000, 13747.92)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("20000 succeeded, 0 failed", "19999 succeeded, 1 failed", "'failed': 1"),
        ("0 errored", "1 errored", "'errored': 1"),
        ("0 timeout", "1 timeout", "'timeout': 1"),
        ("20000 done", "19999 done", "'done': 19999"),
        ("20000 total, 20000 started", "20000 total, 19999 started", "'started': 19999"),
        ("20000 2xx, 0 3xx, 0 4xx", "19999 2xx, 0 3xx, 1 4xx", "'4xx': 1"),
        ("20000 2xx, 0 3xx", "19999 2xx, 1 3xx", "'3xx': 1"),
        ("0 5xx", "7 5xx", "'5xx': 7"),
        ("20000 2xx", "19999 2xx", "'2xx': 19999"),
        ("Application protocol: http/1.1", "Application protocol: h2", "spoke h2, not http/1.1"),
        ("Application protocol: http/1.1\n", "", "spoke nothing, not http/1.1"),
        ("requests: ", "", "h2load said"),
        ("status codes: ", "", "h2load said"),
        ("finished in", "", "h2load said"),
    ],
)
def test_a_report_with_anything_amiss_is_no_measurement(old: str, new: str, said: str) -> None:
    assert old in REPORT
    with pytest.raises(LoadFailed, match=said):
        parse_h2load(REPORT.replace(old, new, 1), H1, 20000)


def test_a_report_on_fewer_requests_is_no_measurement() -> None:
    with pytest.raises(LoadFailed, match="of 20001 requests"):
        parse_h2load(REPORT, H1, 20001)


def test_it_is_told_the_version() -> None:
    assert "--npn-list=http/1.1" in command(1, H1, 1)
    assert "--npn-list=h2" in command(1, H2, 1)


def test_no_path_comes_twice(tmp_path: Path) -> None:
    paths = write_paths(tmp_path / "paths", 50).read_text().split()
    assert len(set(paths)) == 50
    assert {urlsplit(path).path for path in paths} == {"/"}


def test_the_name_is_in_sni_and_authority(h2_server: Callable[..., H2ClientCodec], require_tool: RequireTool) -> None:
    require_tool("h2load", "nghttp2-client")
    server = h2_server()
    assert run_h2load(server.port, Shape(h2=True, connections=1, streams=5), 20, timeout_s=10).requests == 20
    assert server.names == [NAME]
    assert {(head[b":authority"], head[b":path"]) for head in server.heads} == {
        (f"{NAME}:{server.port}".encode(), b"/")
    }


def test_each_path_of_the_file_is_asked_for(
    h2_server: Callable[..., H2ClientCodec], require_tool: RequireTool, tmp_path: Path
) -> None:
    require_tool("h2load", "nghttp2-client")
    server = h2_server()
    shape = Shape(h2=True, connections=1, streams=5, paths=write_paths(tmp_path / "paths"))
    run_h2load(server.port, shape, 20, timeout_s=10)
    assert server.names == [NAME]
    assert {head[b":authority"] for head in server.heads} == {f"{NAME}:{server.port}".encode()}
    assert {head[b":path"] for head in server.heads} == {f"/?{number}".encode() for number in range(20)}


def test_a_run_that_is_refused_fails(h2_server: Callable[..., H2ClientCodec], require_tool: RequireTool) -> None:
    require_tool("h2load", "nghttp2-client")
    with pytest.raises(LoadFailed, match=r"of 3 requests: .*'failed': 3.*'5xx': 3"):
        run_h2load(h2_server("503").port, Shape(h2=True, connections=1), 3, timeout_s=10)


def test_a_run_in_the_other_version_fails(h2_server: Callable[..., H2ClientCodec], require_tool: RequireTool) -> None:
    require_tool("h2load", "nghttp2-client")
    with pytest.raises(LoadFailed, match="not h2"):
        run_h2load(h2_server(protocols=("http/1.1",)).port, Shape(h2=True, connections=1), 1, timeout_s=10)
