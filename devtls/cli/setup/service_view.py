"""The output of `devtls service status`: text for people, JSON for programs. Owns wording and layout."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from datetime import datetime

import msgspec

from devtls.cli.proxy.status import in_words
from devtls.cli.terminal.messages import printable
from devtls.cli.terminal.output import paint
from devtls.daemon.console.style import BOLD
from devtls.operations.service import InstalledService
from devtls.system.changes.change import Part

_LABEL_WIDTH = 14


def status_json(installed: InstalledService) -> dict[str, object]:
    """Return one service as JSON values; `serve` is its part of `devtls status`, null when it cannot be asked."""
    service, account, serve = installed.service, installed.account, installed.serve
    return {
        "name": service.name,
        "label": service.label,
        "installed": account.installed,
        "place": account.place,
        "enabled": account.enabled,
        "running": account.running,
        "pid": account.pid or None,
        "since": serve.since if serve else None,
        "command": list(account.argv),
        "config": account.config or None,
        "trouble": account.trouble or None,
        "serve": msgspec.to_builtins(serve),
    }


def status_lines(installed: InstalledService, now: datetime) -> Iterator[str]:
    """Yield the lines of one installed service."""
    service, account, serve = installed.service, installed.account, installed.serve
    process = f" (process {account.pid})" if account.pid else ""
    why = f": {account.trouble}" if account.trouble else ""
    waits = service.part is Part.PORTS and not why
    runs = f"runs{process}" if account.running else f"does not run{', the next connection starts it' if waits else why}"
    yield paint(f"{service.label}: installed, {runs}.", BOLD)
    yield ""
    yield _row("Where", account.place + (", started by itself" if account.enabled else ", not started by itself"))
    yield _row("Command", shlex.join(account.argv))
    yield _row("File", account.config or "the devtls.toml in your home directory, else your own")
    if account.running:
        yield _row("To stop it", shlex.join(account.stop))
    if serve is not None:
        yield ""
        yield from in_words(serve, now)


def _row(label: str, text: str) -> str:
    return f"  {label:<{_LABEL_WIDTH}}{printable(text)}"
