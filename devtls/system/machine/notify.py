"""Notifications to the service manager: ready, reloading, stopping (sd_notify(3)).

Owns the datagrams to the socket that NOTIFY_SOCKET names. Refuses to wait, and to fail because nobody listens: a
message that does not get through is lost. Loaded only where the variable is set. The variable is taken out of the
environment, so that no child speaks in our name.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import MutableMapping
from contextlib import suppress

VARIABLE = "NOTIFY_SOCKET"
_MARGIN_S = 5.0


class Manager:
    """The manager that started us; `address` is a path, or an abstract name after @."""

    def __init__(self, address: str) -> None:
        # unix(7): an abstract address begins with a null byte, which no variable can hold.
        self._address = "\0" + address[1:] if address.startswith("@") else address

    def ready(self, status: str) -> None:
        """Say that the ports are open, at the start and after a reload."""
        self._send("READY=1", f"MAINPID={os.getpid()}", f"STATUS={_line(status)}")

    def reloading(self) -> None:
        """Say that the configuration is read again; `ready` ends it."""
        stamp = time.monotonic_ns() // 1000  # of CLOCK_MONOTONIC, as sd_notify(3) wants it
        self._send("RELOADING=1", f"MONOTONIC_USEC={stamp}", "STATUS=Reading the configuration again")

    def stopping(self, grace_s: float) -> None:
        """Say that the end has begun, and how long requests may take to finish."""
        self._send("STOPPING=1", f"EXTEND_TIMEOUT_USEC={round((grace_s + _MARGIN_S) * 1e6)}", "STATUS=Ending")

    def _send(self, *lines: str) -> None:
        if sys.platform == "win32":  # has no systemd
            return
        # The manager may be gone, its queue full, its socket of another kind: the proxy is worth more than the news.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.setblocking(False)
            channel.sendto("\n".join(lines).encode(), self._address)


def take_manager(environ: MutableMapping[str, str] = os.environ) -> Manager | None:
    """Return the manager that the environment names, once: the variable is gone afterwards."""
    address = environ.pop(VARIABLE, "")
    return Manager(address) if address[:1] in ("/", "@") and len(address) > 1 else None


def _line(text: str) -> str:
    # A line feed would begin another assignment (sd_notify(3)).
    return " ".join(text.split())
