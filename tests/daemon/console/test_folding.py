"""Lines of a terminal's width."""

from __future__ import annotations

import io
import os
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devtls.daemon.console.folding import cells, fold, fold_text, terminal_columns


def test_words_are_not_cut_and_what_is_continued_stands_deeper() -> None:
    line = "  https://app.dev.local:8443  ->  127.0.0.1:3000  up  also app.localhost, app.test"
    assert fold(line, 40).split("\n") == [
        "  https://app.dev.local:8443",
        "      ->  127.0.0.1:3000  up",
        "      also app.localhost, app.test",
    ]


def test_a_word_that_is_longer_than_the_line_stays_whole() -> None:
    url = "https://app.dev.local/" + "a" * 60
    assert fold(f"12:00:00  200  {url} -> x", 40).split("\n") == ["12:00:00  200", "    " + url, "    -> x"]


def test_colours_and_links_take_no_room() -> None:
    line = "\x1b[1m\x1b]8;;https://app.dev.local\x1b\\app\x1b]8;;\x1b\\\x1b[0m goes there, and it is not cut"
    assert cells(line) == len("app goes there, and it is not cut")
    assert fold(line, 40) == line


def test_wide_characters_take_two_cells() -> None:
    assert cells("日本e\u0301") == 5
    assert fold("日本語日本語日 日本語日本語", 20) == "日本語日本語日\n    日本語日本語"


def test_a_terminal_that_does_not_tell_its_width_gets_whole_lines() -> None:
    assert fold("word " * 40, 0) == "word " * 40


def test_each_line_of_a_text_is_folded_by_itself() -> None:
    assert fold_text("one two three four five six\n\n  x", 20) == "one two three four\n    five six\n\n  x"


@given(st.text("ab -> 日\u0301", max_size=200), st.integers(20, 120))
def test_no_line_is_wider_than_the_terminal_but_for_a_long_word(text: str, width: int) -> None:
    lines = fold(text, width).split("\n")
    assert "".join(text.split()) == "".join("".join(lines).split())
    longest = max((cells(word) for word in text.replace("-> ", "").split(" ")), default=0) + 10
    assert all(cells(line.rstrip()) <= max(width, longest + width // 3) for line in lines)


def test_a_paragraph_is_continued_nearer_than_a_route() -> None:
    assert fold("  one two three four five", 20) == "  one two three four\n    five"
    assert fold("  one two three -> four five", 20) == "  one two three\n      -> four five"


def test_what_is_no_terminal_has_no_width() -> None:
    assert terminal_columns(io.StringIO()) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_the_width_is_that_of_the_streams_own_terminal() -> None:
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
    with os.fdopen(theirs, "w") as stream:
        assert terminal_columns(stream) == 40
    assert terminal_columns(stream) == 0
    os.close(ours)
