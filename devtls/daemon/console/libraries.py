"""What libraries, the event loop and the interpreter say: in words of our own, or not at all.

Owns every way by which text that is not ours could reach the log or stderr of a proxy: records of `logging`, warnings,
exceptions that nobody catches in callbacks, threads and destructors. Strategy: our own records pass; a fault becomes
the one line that a fault of ours is; what only says that a peer has left is dropped, since the connection's own end is
told of where it matters; the text itself is for -v.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from devtls.daemon.console.log import Log

_OURS = "devtls"
# `asyncio` names what a client of this machine does to its connection, `aiohttp.client` and `urllib3` what a peer does.
_PEER = (OSError, asyncio.CancelledError)


@contextmanager
def in_our_words(log: Log) -> Iterator[None]:
    """Let nothing but `log` speak for libraries and the interpreter, until the block ends."""
    handler = _Handler(log)
    root = logging.getLogger()
    before = sys.unraisablehook, threading.excepthook, warnings.showwarning
    root.addHandler(handler)
    sys.unraisablehook = lambda unraisable: _tell_of(log, unraisable.exc_value)
    threading.excepthook = lambda args: _tell_of(log, args.exc_value)
    warnings.showwarning = _warner(log)
    try:
        yield
    finally:
        sys.unraisablehook, threading.excepthook, warnings.showwarning = before
        root.removeHandler(handler)


def watch_loop(loop: asyncio.AbstractEventLoop, log: Log) -> None:
    """Tell `log` of exceptions in callbacks and tasks that nobody waits for."""

    def handle(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if context.get("exception") is None:
            _details(log, "asyncio", str(context.get("message", "")))
        else:
            _tell_of(log, context["exception"])

    loop.set_exception_handler(handle)


class _Handler(logging.Handler):
    """Records of level WARNING and above: ours as they are, those of libraries in our words."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        library = record.name.partition(".")[0]
        if library == _OURS:
            self._log.warn(record.getMessage())
        elif record.exc_info is not None and record.exc_info[1] is not None:
            _tell_of(self._log, record.exc_info[1])
        else:
            _details(self._log, library, record.getMessage())
            if record.levelno >= logging.ERROR:
                self._log.report(f"{library}, which devtls uses, reports an error: devtls goes on; -v shows its text.")


def _tell_of(log: Log, error: BaseException | None) -> None:
    # A peer that has left, or a file that cannot be opened: whoever it concerns has been told by the connection's end.
    if isinstance(error, _PEER):
        _details(log, "asyncio", repr(error))
    # KeyboardInterrupt and SystemExit are no faults.
    elif isinstance(error, Exception):
        log.fault(0, error)


def _details(log: Log, library: str, text: str) -> None:
    if log.level == "verbose":
        log.say(f"{library}: {text}", event="library", library=library)


def _warner(log: Log) -> Any:
    def show(message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: object) -> None:
        # For whoever writes devtls or a library; nobody who serves an app can do anything about one.
        _details(log, category.__name__, f"{message} ({filename}, line {lineno})")

    return show
