from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from devtls.errors import StateError
from devtls.pki.register import (
    Event,
    History,
    Issued,
    Released,
    RevocationReason,
    Revoked,
    joined,
    matching,
    parse_register,
    render_event,
    serial_text,
)

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def issued(serial: str, *names: str, days: int = 90) -> Issued:
    return Issued(
        serial=serial,
        at=NOW,
        by="cert",
        kind="server",
        names=names or ("a.test",),
        not_before=NOW,
        not_after=NOW + timedelta(days=days),
        key_sha256="00",
        sha256="11",
        place="/x/a.test.pem",
    )


def revoked(serial: str, reason: RevocationReason = "unspecified") -> Revoked:
    return Revoked(serial=serial, at=NOW, reason=reason)


def parsed(*events: Event, rest: bytes = b"") -> History:
    return parse_register(b"".join(render_event(event) for event in events) + rest, "/x/register.jsonl")


def test_what_was_written_is_read() -> None:
    events = (issued("0a0b"), revoked("0a0b", "hold"), Released(serial="0a0b", at=NOW))
    assert parsed(*events) == History(events)
    assert render_event(events[1]).endswith(b'"reason":"hold","issuer":""}\n')


def test_an_unfinished_last_line_says_nothing() -> None:
    line = render_event(issued("0c"))
    for size in range(len(line)):
        assert parsed(issued("0a"), rest=line[:size]) == History((issued("0a"),))


def test_a_damaged_line_is_counted_and_the_others_count() -> None:
    content = render_event(issued("0a")) + b"\x00\x00\n{}\n" + render_event(issued("0b"))
    history = parse_register(content, "x")
    assert list(history.issued) == ["0a", "0b"]
    assert history.damaged == (2, 3)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (b'"0a0b"', b'"0a\xff0b"'),
        (b'"0a0b"', b'"-5"'),
        (b'"0a0b"', b'"0x0b"'),
        (b'"0a0b"', b'"0a0"'),
        (b'"0a0b"', b'"0a0b\\n"'),
        (b'"0a0b"', b'""'),
        (b"Z", b""),
        (b'"format":1', b'"format":"\xff"'),
    ],
)
def test_a_line_that_no_devtls_wrote_is_damage(right: bytes, wrong: bytes) -> None:
    line = render_event(revoked("0a0b"))
    history = parse_register(line.replace(right, wrong, 1) + line, "x")
    assert history == History((revoked("0a0b"),), damaged=(1,))


def test_a_line_of_a_later_version_is_refused() -> None:
    line = msgspec.json.encode({"event": "moved", "format": 2}) + b"\n"
    with pytest.raises(StateError, match="format 2, this one knows 1") as caught:
        parse_register(line, "/x/register.jsonl")
    assert (caught.value.hint, caught.value.path) == ("upgrade devtls", "/x/register.jsonl")


def test_an_unknown_event_of_this_version_is_damage() -> None:
    assert parse_register(b'{"event":"moved","format":1}\n', "x").damaged == (1,)


def test_the_state_of_a_certificate() -> None:
    history = parsed(
        issued("0a"),
        issued("0b", days=1),
        issued("0c"),
        issued("0d"),
        issued("0e"),
        revoked("0c", "key-compromise"),
        revoked("0d", "hold"),
        revoked("0e", "hold"),
        Released(serial="0e", at=NOW),
        Released(serial="0f", at=NOW),
    )
    states = {serial: history.state(serial, NOW + timedelta(days=1)) for serial in history.issued}
    assert states == {"0a": "valid", "0b": "expired", "0c": "revoked", "0d": "on hold", "0e": "valid"}
    assert set(history.revoked) == {"0c", "0d"}
    assert history.decided == {"0c", "0d", "0e", "0f"}


@pytest.mark.parametrize(("serial", "text"), [(0, "00"), (10, "0a"), (0x1234, "1234"), (0x123, "0123")])
def test_a_serial_is_written_in_whole_bytes(serial: int, text: str) -> None:
    assert serial_text(serial) == text


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("B.test", ["0a1b2c3d4e", "0a1b2c9999"]),
        ("0a1b2c3d4e", ["0a1b2c3d4e"]),
        ("0A:1B:2C:3D", ["0a1b2c3d4e"]),
        ("0x0a1b2c", ["0a1b2c3d4e", "0a1b2c9999"]),
        ("0a1b2", []),
        ("", []),
        ("c.test", []),
    ],
)
def test_a_person_may_name_a_certificate_by_name_or_by_the_start_of_its_serial(wanted: str, found: list[str]) -> None:
    history = parsed(issued("0a1b2c3d4e", "a.test", "b.test"), issued("0a1b2c9999", "b.test"))
    assert [one.serial for one in matching(history, wanted)] == found


def test_the_registers_of_several_cas_are_one_to_the_reader() -> None:
    first, second = parsed(issued("0a"), revoked("0a")), parse_register(b"?\n" + render_event(issued("0b")), "x")
    every = joined([first, second])
    assert list(every.issued) == ["0a", "0b"]
    assert (set(every.revoked), every.damaged) == ({"0a"}, (1,))
