"""What a running proxy says, in both formats."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from devtls.daemon.console.log import Level, Log
from devtls.daemon.console.style import TerminalStyle
from devtls.errors import ConfigError
from devtls.net.client.access import AccessRecord
from devtls.net.tls.handshake import HUNG_UP, HandshakeFailure

RECORD = AccessRecord(
    "GET", "app.dev.local", "/x", 200, "app", "127.0.0.1:3000", 12, 0.0421, "HTTP/1.1", "127.0.0.1", True
)  # fmt: skip


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def make(**options: Any) -> tuple[Log, list[str], Clock]:
    lines: list[str] = []
    clock = Clock()
    return Log(lines.append, monotonic=clock, **options), lines, clock


def test_a_request_is_one_line() -> None:
    log, lines, _ = make()
    log.request(RECORD)
    assert lines[0][10:] == "200      42 ms  h1    GET    https://app.dev.local/x -> 127.0.0.1:3000"


def test_why_an_answer_is_ours_or_cut_stands_at_the_end_of_the_line() -> None:
    log, lines, _ = make()
    log.request(replace(RECORD, status=502, reason="bad chunk size"))
    assert lines[-1].endswith("https://app.dev.local/x -> 127.0.0.1:3000  bad chunk size")
    log.request(replace(RECORD, complete=False, reason="closed after 312 of 900 bytes"))
    assert lines[-1].endswith("-> 127.0.0.1:3000  (cut off)  closed after 312 of 900 bytes")
    log.request(replace(RECORD, status=502, reason='bad status line "\x1b[2J"'))
    assert "\x1b" not in lines[-1]


def test_programs_get_the_reason_as_a_field() -> None:
    log, lines, _ = make(as_json=True)
    log.request(replace(RECORD, status=502, reason="bad chunk size"))
    assert json.loads(lines[-1])["reason"] == "bad chunk size"


def test_a_cookie_that_was_for_other_names_is_told_once_for_each_route() -> None:
    log, lines, _ = make()
    for route in ("app", "app", "shop"):
        log.cookie_domain(route, f"{route}.dev.local", "sid", "dev.local")
    assert lines == [
        'The cookie "sid" of the route app was for every name below dev.local: Domain=dev.local was taken out, '
        "it is for app.dev.local alone.",
        'The cookie "sid" of the route shop was for every name below dev.local: Domain=dev.local was taken out, '
        "it is for shop.dev.local alone.",
    ]
    for number in range(400):
        log.cookie_domain("app", "app.dev.local", f"c{number}", "dev.local")
    assert len(lines) == 256


def test_an_answer_of_ours_has_no_app_and_no_time() -> None:
    log, lines, _ = make()
    log.request(replace(RECORD, upstream="", complete=False))
    assert lines[0].endswith("https://app.dev.local/x  (cut off)")
    assert "ms" not in lines[0]


def test_control_characters_and_endless_targets_are_tamed() -> None:
    log, lines, _ = make()
    log.request(replace(RECORD, target="/\x1b[2J\x9b" + "x" * 5000, host="a\nb", upstream="u\x07"))
    assert lines[0].isprintable()
    assert "\\x1b[2J\\x9b" in lines[0]
    assert len(lines[0]) < 400


def test_json_lines_hold_every_field() -> None:
    log, lines, _ = make(as_json=True)
    log.request(replace(RECORD, target="/\x1b\n"))
    told = json.loads(lines[0])
    assert told["event"] == "request"
    assert told["target"] == "/\x1b\n"
    assert told["duration_s"] == 0.0421
    assert lines[0].isprintable()


@pytest.mark.parametrize(("level", "wanted"), [("quiet", False), ("normal", True), ("verbose", True)])
def test_quiet_wants_no_requests(level: Level, wanted: bool) -> None:
    assert make(level=level)[0].wants_requests is wanted


def test_a_refused_certificate_is_told_once_a_minute_and_name() -> None:
    log, lines, clock = make(level="quiet")
    refused = HandshakeFailure("app.dev.local", "tlsv1 alert unknown ca")
    for _ in range(3):
        log.handshake_failed(refused)
    log.handshake_failed(replace(refused, sni=None))
    assert [line.partition(":")[0] for line in lines] == [
        "! a client refused our certificate for app.dev.local",
        "! a client refused our certificate for localhost",
    ]
    clock.now = 61.0
    log.handshake_failed(refused)
    assert len(lines) == 3


def test_names_without_end_do_not_fill_memory_or_log() -> None:
    log, lines, _ = make()
    for number in range(2000):
        log.handshake_failed(HandshakeFailure(f"n{number}.test", "bad certificate"))
    assert len(lines) < 600


def test_a_client_that_was_not_let_in_is_told_once_a_minute_name_and_reason() -> None:
    """Who tries one certificate after another wants to hear of each."""
    log, lines, _ = make(level="quiet")
    for reason in ("certificate revoked", "certificate revoked", "certificate has expired", "tlsv1 alert unknown ca"):
        log.handshake_failed(HandshakeFailure("safe.test", reason, "127.0.0.1", asked=True))
    start = "! a client of safe.test, which asks for a certificate, was not let in: its certificate "
    assert lines[0].startswith(f"{start}was revoked. `devtls certs list`")
    assert lines[1].startswith(f"{start}has expired. `devtls cert NAME --client`")
    assert lines[2].startswith("! a client refused our certificate for safe.test")
    assert len(lines) == 3


def test_a_browser_that_hangs_up_to_ask_its_user_is_no_trouble() -> None:
    failure = HandshakeFailure("safe.test", HUNG_UP, "127.0.0.1", asked=True)
    for level, said in (("normal", []), ("verbose", [f"TLS with 127.0.0.1 for safe.test failed: {HUNG_UP}"])):
        log, lines, _ = make(level=level)
        log.handshake_failed(failure)
        assert lines == said


def test_other_handshake_failures_are_told_with_v_only() -> None:
    failure = HandshakeFailure("\x1b.test", "no shared cipher", "127.0.0.1")
    for level, count in (("normal", 0), ("verbose", 1)):
        log, lines, _ = make(level=level)
        log.handshake_failed(failure)
        assert len(lines) == count
        assert all(line.isprintable() for line in lines)


def test_errors_come_with_their_hint() -> None:
    log, lines, _ = make(style=TerminalStyle(colour=True))
    log.error(ConfigError("broken\x1b", source="devtls.toml", line=3, hint="mend it"))
    assert lines == ["\x1b[31merror: \x1b[0mdevtls.toml:3: broken\\x1b", "\x1b[36m  try: \x1b[0mmend it"]
    log, lines, _ = make(as_json=True)
    log.error(ConfigError("broken", hint="mend it"))
    assert json.loads(lines[0])["hint"] == "mend it"


def test_a_fault_is_told_with_its_place_under_v() -> None:
    for level, deep in (("normal", False), ("verbose", True)):
        log, lines, _ = make(level=level)
        try:
            raise ValueError("x")
        except ValueError as error:
            log.fault(7, error)
        assert "connection 7" in lines[0]
        assert ("Traceback" in lines[0]) is deep


def test_the_banner_and_notes_are_not_for_programs_nor_for_the_quiet() -> None:
    for options in ({"as_json": True}, {"level": "quiet"}):
        log, lines, _ = make(**options)
        log.block("banner")
        assert not lines
    log, lines, _ = make()
    log.block("banner")
    log.event("listening", https_port=1)
    log.say("note")
    log.report("too many: a")
    log.report("too many: b")
    assert lines == ["banner", "note", "! too many: a"]
