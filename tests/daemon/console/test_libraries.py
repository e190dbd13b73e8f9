"""No text of a library reaches the log: a fault in our words, a peer that left not at all, the text with -v."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from devtls.daemon.console.libraries import in_our_words, watch_loop
from devtls.daemon.console.log import Level, Log

TEXT = "Error handling request from 127.0.0.1"


class Voice:
    """A log and its lines."""

    def __init__(self, level: Level = "normal") -> None:
        self.lines: list[str] = []
        self.log = Log(self.lines.append, level=level, monotonic=lambda: 0.0)


@pytest.fixture
def voice() -> Iterator[Voice]:
    one = Voice()
    with in_our_words(one.log):
        yield one


def raised(error: Exception) -> Any:
    try:
        raise error
    except type(error) as caught:
        return type(caught), caught, caught.__traceback__


def test_our_own_warnings_pass(voice: Voice) -> None:
    logging.getLogger("devtls.watch").warning("The file is looked at twice a second.")
    assert voice.lines == ["! The file is looked at twice a second."]


@pytest.mark.parametrize("name", ["aiohttp.server", "aiohttp.access", "asyncio", "watchdog.observers", "urllib3", ""])
def test_records_of_libraries_are_one_line_of_ours_a_minute(voice: Voice, name: str) -> None:
    for _ in range(3):
        logging.getLogger(name).error(TEXT)
        logging.getLogger(name).warning(TEXT)
        logging.getLogger(name).info(TEXT)
    assert len(voice.lines) == 1
    assert TEXT not in voice.lines[0]
    assert "which devtls uses, reports an error" in voice.lines[0]


@pytest.mark.parametrize("error", [ConnectionResetError("gone"), BrokenPipeError(), TimeoutError(), OSError(24, "x")])
def test_a_peer_that_left_is_nothing_to_tell(voice: Voice, error: Exception) -> None:
    logging.getLogger("aiohttp.server").error(TEXT, exc_info=raised(error))
    assert voice.lines == []


def test_an_exception_that_a_library_caught_is_a_fault(voice: Voice) -> None:
    logging.getLogger("aiohttp.server").error(TEXT, exc_info=raised(ValueError("wrong")))
    assert voice.lines == ["! a bug of devtls: ValueError('wrong')"]


def test_verbose_shows_the_text_of_a_library_and_warnings() -> None:
    voice = Voice("verbose")
    with in_our_words(voice.log):
        logging.getLogger("watchdog.observers").warning("it says\x1b[2J this")
        warnings.showwarning("old", DeprecationWarning, "file.py", 3)
    assert voice.lines == ["watchdog: it says\\x1b[2J this", "DeprecationWarning: old (file.py, line 3)"]


def test_warnings_are_for_developers(voice: Voice, capsys: pytest.CaptureFixture[str]) -> None:
    warnings.showwarning("old", DeprecationWarning, "file.py", 3)
    assert voice.lines == []
    assert capsys.readouterr().err == ""


def test_threads_and_destructors_are_told_of_and_everything_is_put_back(capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.unraisablehook, threading.excepthook, warnings.showwarning, list(logging.getLogger().handlers)
    voice = Voice()

    def break_off() -> None:
        raise ValueError("in a thread")

    with in_our_words(voice.log):
        thread = threading.Thread(target=break_off)
        thread.start()
        thread.join()
        found: Any = type("Unraisable", (), {"exc_value": ValueError("in a destructor")})
        sys.unraisablehook(found)
        found.exc_value = KeyboardInterrupt()
        sys.unraisablehook(found)
    assert voice.lines == [
        "! a bug of devtls: ValueError('in a thread')",
        "! a bug of devtls: ValueError('in a destructor')",
    ]
    assert capsys.readouterr().err == ""
    assert before == (
        sys.unraisablehook,
        threading.excepthook,
        warnings.showwarning,
        list(logging.getLogger().handlers),
    )


async def test_callbacks_and_forgotten_tasks_of_the_loop_are_told_of() -> None:
    voice = Voice()
    loop = asyncio.get_running_loop()
    watch_loop(loop, voice.log)

    def fail(error: Exception) -> None:
        raise error

    loop.call_soon(fail, ValueError("in a callback"))
    loop.call_soon(fail, ConnectionResetError())
    await asyncio.sleep(0.01)
    loop.call_exception_handler({"message": "Unclosed connection"})
    loop.set_exception_handler(None)
    assert voice.lines == ["! a bug of devtls: ValueError('in a callback')"]
