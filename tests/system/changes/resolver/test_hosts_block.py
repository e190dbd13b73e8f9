from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from devtls.errors import InvalidName
from devtls.names import DEFAULT_ZONES, Hostname
from devtls.system.changes.resolver.hosts_block import (
    UnusableHosts,
    choose_names,
    parse_hosts,
    read_addresses,
    remove_block,
    write_block,
)

BEGIN = b"# devtls begin (format 1; devtls setup writes this, devtls unsetup takes it out)\n"
JOINED = BEGIN.replace(b"format 1;", b"format 1; line end added;")
END = b"# devtls end\n"
BLOCK = BEGIN + b"127.0.0.1 app.test\n::1 app.test\n" + END
BOM = b"\xef\xbb\xbf"

pieces = st.sampled_from(
    [b"\n", b"\r\n", b"\r", b" ", b"#", b"127.0.0.1 x", BOM, b"\x00", b"\xff", b"# devtls", b"end"]
)
files = st.one_of(st.binary(max_size=60), st.lists(pieces, max_size=12).map(b"".join))
names = st.lists(st.sampled_from(["app.test", "b.dev.local", "c.localhost", "my_app.test"]), min_size=1, unique=True)


def _crlf(text: bytes) -> bytes:
    return text.replace(b"\n", b"\r\n")


@given(files, names, names, st.sampled_from([b"\n", b"\r\n"]))
def test_a_block_comes_and_goes_without_a_trace(
    content: bytes, first: list[str], second: list[str], newline: bytes
) -> None:
    assume(b"# devtls begin" not in content and b"# devtls end" not in content and content[:2] not in UTF_16)
    written = write_block(content, first, newline)
    assert write_block(written, first, newline) == written
    assert parse_hosts(written).names == tuple(first)
    assert written.startswith(content)
    rewritten = write_block(written, second, newline)
    assert rewritten == write_block(content, second, newline)
    assert remove_block(rewritten) == content
    assert write_block(rewritten, (), newline) == content


@given(files, files)
def test_what_is_written_behind_the_block_later_stays(content: bytes, later: bytes) -> None:
    whole = content + later
    assume(b"# devtls begin" not in whole and b"# devtls end" not in whole and content[:2] not in UTF_16)
    written = write_block(content, ["app.test"]) + later
    assert parse_hosts(written).names == ("app.test",)
    removed = remove_block(written)
    assert removed == content + later or removed == content + parse_hosts(written).added + later


UTF_16 = (b"\xff\xfe", b"\xfe\xff")


@pytest.mark.parametrize(
    ("content", "written"),
    [
        (b"", BLOCK),
        (b"127.0.0.1 localhost\n", b"127.0.0.1 localhost\n" + BLOCK),
        (b"127.0.0.1 localhost", b"127.0.0.1 localhost\n" + BLOCK.replace(BEGIN, JOINED)),
        (b"# one\r\n# two\r\n", b"# one\r\n# two\r\n" + _crlf(BLOCK)),
        (b"# one\r\n# two", b"# one\r\n# two\r\n" + _crlf(BLOCK.replace(BEGIN, JOINED))),
        (b"# one\r\n# two\n", b"# one\r\n# two\n" + BLOCK),
        (BOM + b"::1 localhost\r\n", BOM + b"::1 localhost\r\n" + _crlf(BLOCK)),
        (BOM, BOM + b"\n" + BLOCK.replace(BEGIN, JOINED)),
        (b"\n" + BEGIN + END + b"# below\n", b"\n" + BLOCK + b"# below\n"),
        (b"# x\n" + BLOCK.replace(b"\n", b"\r\n") + b"# y", b"# x\n" + BLOCK + b"# y"),
        (b"# x\n" + BLOCK[:-1], b"# x\n" + BLOCK),
    ],
)
def test_the_block_follows_the_file(content: bytes, written: bytes) -> None:
    assert write_block(content, ["app.test"]) == written


def test_an_empty_file_of_windows_gets_the_line_ends_of_windows() -> None:
    assert write_block(b"", ["app.test"], b"\r\n") == _crlf(BLOCK)


@pytest.mark.parametrize(
    ("content", "left"),
    [
        (b"127.0.0.1 localhost\n" + JOINED + END, b"127.0.0.1 localhost"),
        (b"127.0.0.1 localhost\n" + JOINED + END + b"# later\n", b"127.0.0.1 localhost\n# later\n"),
        (b"# a\r\n" + _crlf(JOINED + END), b"# a"),
        (b"# a\n" + _crlf(JOINED + END), b"# a"),
        (JOINED + END, b""),
        (b"# a\n" + BLOCK[:-1], b"# a\n"),
        (b"# a\n", b"# a\n"),
    ],
)
def test_what_was_added_is_reverted_and_nothing_else(content: bytes, left: bytes) -> None:
    assert remove_block(content) == left


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"# a\n" + BEGIN, "begins in line 2 and does not end"),
        (b"# a\n" + END, "ends in line 2 and does not begin"),
        (END + BEGIN, "ends in line 1 and does not begin"),
        (BLOCK + BLOCK, "a second block of devtls begins in line 5"),
        (BLOCK + END, "ends a second time in line 5"),
        (BEGIN + BEGIN + END, "a second block of devtls begins in line 2"),
        (BEGIN + b"10.0.0.1 router\n" + END, "line 2 stands inside devtls' block"),
        (BEGIN + b"127.0.0.1 a.test # mine\n" + END, "line 2 stands inside"),
        (BEGIN + b"127.0.0.1 \xff\n" + END, "line 2 stands inside"),
        (BEGIN + b"# devtls end127.0.0.1 x\n", "something follows the words in line 2"),
        (BEGIN.replace(b"format 1", b"format 2") + END, "a newer devtls wrote the block that begins in line 1"),
        (b"# devtls beginning of mine\n" + END, "the first line of devtls' block, line 1, was changed"),
        (b"\xff\xfe#\x00", "UTF-16"),
    ],
)
def test_a_file_that_is_not_understood_is_left_alone(content: bytes, why: str) -> None:
    for change in (remove_block, lambda content: write_block(content, ["app.test"])):
        with pytest.raises(UnusableHosts, match=why):
            change(content)


def test_names_of_other_projects_stay_and_those_of_lost_zones_go() -> None:
    held = ("one.test", "two.dev.local", "old.shop.internal")
    assert choose_names(held, ("three.test", "one.test", "localhost", "a.localhost"), DEFAULT_ZONES) == (
        "one.test",
        "two.dev.local",
        "three.test",
        "a.localhost",
    )
    assert choose_names((), (), DEFAULT_ZONES) == ()


@pytest.mark.parametrize("name", ["bank.example", "xdev.local", "a.test\n127.0.0.1 bank.example", "*.app.test", ""])
def test_only_names_below_a_zone_get_into_the_file(name: str) -> None:
    with pytest.raises(InvalidName):
        choose_names((), (name,), (Hostname("dev.local"), Hostname("test")))


def test_addresses_are_read_as_a_resolver_reads_them() -> None:
    content = BOM + b"127.0.0.1\tlocalhost A.test # b.test\r\n#::1 c.test\n::1 a.test\n\n127.0.0.1\n"
    assert read_addresses(content) == {"localhost": {"127.0.0.1"}, "a.test": {"127.0.0.1", "::1"}}
