"""Lines written by a thread."""

from __future__ import annotations

import io
import os
import sys
import threading

import pytest

from devtls.daemon.console.lines import LineWriter


class Stuck(io.StringIO):
    """A reader that takes nothing until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.go_on = threading.Event()

    def write(self, text: str) -> int:
        self.entered.set()
        self.go_on.wait(5)
        return super().write(text)


def test_lines_keep_their_order() -> None:
    stream = io.StringIO()
    writer = LineWriter(stream)
    for number in range(100):
        writer.write(str(number))
    writer.close()
    assert stream.getvalue().split() == [str(number) for number in range(100)]


def test_a_stuck_reader_holds_nobody_and_learns_what_it_missed() -> None:
    stream = Stuck()
    writer = LineWriter(stream)
    writer.write("first")
    assert stream.entered.wait(5)
    for number in range(10_010):
        writer.write(str(number))
    stream.go_on.set()
    writer.close(5)
    assert stream.getvalue().splitlines()[-1] == "(10 lines were not written: nobody read them)"


def test_a_reader_that_is_gone_ends_the_log_and_nothing_else() -> None:
    stream = io.StringIO()
    stream.close()
    writer = LineWriter(stream)
    writer.write("x")
    writer.close()
    writer.write("y")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_on_a_terminal_lines_are_broken_between_words() -> None:
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
    with os.fdopen(theirs, "w") as stream:
        writer = LineWriter(stream)
        writer.write("12:00:00  200       3 ms  h1    GET    https://app.dev.local/ -> 127.0.0.1:3000")
        writer.close()
    shown = os.read(ours, 1000).decode().split("\r\n")
    assert shown == ["12:00:00  200       3 ms  h1    GET", "    https://app.dev.local/", "    -> 127.0.0.1:3000", ""]
    os.close(ours)
