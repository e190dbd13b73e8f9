"""Record devtls at work and draw it: `python -m docs.generate.picture` writes the pictures of the README.

The commands really run, in mount and network namespaces of their own with an empty home, so that nothing on the machine
changes. Needs root, util-linux, iproute2, curl and certutil. What is left out of an output is drawn as an ellipsis.
"""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

IMAGES = Path(__file__).parents[1] / "images"
COLUMNS = 108
PATIENCE_S = 60.0
INSIDE = "--inside"

CHAR_WIDTH, LINE_HEIGHT, MARGIN = 8.0, 19.0, 20.0
FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
PALETTES = {
    "light": {
        "back": "#ffffff",
        "edge": "#d0d7de",
        "text": "#1f2328",
        "32": "#1a7f37",
        "33": "#9a6700",
        "2": "#656d76",
    },
    "dark": {"back": "#0d1117", "edge": "#30363d", "text": "#e6edf3", "32": "#3fb950", "33": "#d29922", "2": "#8b949e"},
}
"""Colours by SGR parameter: 32 is green, 33 yellow, 2 dim."""

_SGR = re.compile(r"\x1b\[([\d;]*)m")
_OTHER_ESCAPES = re.compile(r"\x1b\[[\d;?]*[A-HJKSTfhln]|\x1b\]8;[^\x1b]*\x1b\\")
"""Cursor movements, and OSC 8: links that a terminal lets people click."""


class Shot(NamedTuple):
    """One command and the lines of its output that are drawn."""

    command: str
    lines: list[str]


class Span(NamedTuple):
    """Characters of one look, from a column on; `styles` are SGR parameters."""

    column: int
    text: str
    styles: frozenset[str]


class _Hello(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"Hello from the app on port 3000.\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: the terminal belongs to the recording."""


def record() -> list[Shot]:
    """Run the commands on this machine, which is changed by it: only for a namespace of its own."""
    _separate()
    app = ThreadingHTTPServer(("127.0.0.1", 3000), _Hello)
    threading.Thread(target=app.serve_forever, daemon=True).start()
    setup = _output("devtls setup --yes")
    serve = _Terminal("devtls serve app=3000")
    banner = serve.read_until("https://app.test")
    curl = _output("curl https://app.dev.local/")
    check = _output("devtls check app.dev.local")
    serve.end()
    return [
        Shot("devtls setup --yes", [*_between(setup, "Made devtls root", 1), "…", *_table(setup)]),
        Shot("devtls serve app=3000", banner),
        Shot("curl https://app.dev.local/", curl),
        Shot("devtls check app.dev.local", [*_between(check, "Issuer", 4), "…", *_between(check, "A browser", 1)]),
    ]


def _separate() -> None:
    """Give this process copies of the directories that setup writes to, and a loopback interface."""
    scratch = Path("/mnt")
    _do("mount", "-t", "tmpfs", "devtls", str(scratch))
    _do("ip", "link", "set", "lo", "up")
    for number, folder in enumerate(("/etc", "/usr/local/share")):
        upper, work = scratch / f"upper{number}", scratch / f"work{number}"
        upper.mkdir()
        work.mkdir()
        _do("mount", "-t", "overlay", "devtls", "-o", f"lowerdir={folder},upperdir={upper},workdir={work}", folder)
    home = scratch / "home"
    home.mkdir()
    os.chdir(home)
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "LC_ALL")}
    os.environ.clear()
    os.environ.update(kept, HOME=str(home), TERM="xterm-256color", SHELL="/bin/sh")
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{kept['PATH']}"


def _do(*argv: str) -> None:
    subprocess.run(argv, check=True)


class _Terminal:
    """A command on a terminal of its own."""

    def __init__(self, command: str) -> None:
        self._master, slave = pty.openpty()
        size = f"stty cols {COLUMNS}; exec {command}"
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", size], stdin=slave, stdout=slave, stderr=slave, start_new_session=True
        )
        os.close(slave)
        self._seen = b""

    def read_until(self, text: str = "") -> list[str]:
        """Return the lines up to the one with `text`, or all of them. Raises TimeoutError."""
        while not text or text.encode() not in self._seen:
            if not select.select([self._master], [], [], PATIENCE_S)[0]:
                raise TimeoutError(f"{text!r} did not come; until then:\n{self._seen.decode()}")
            try:
                self._seen += os.read(self._master, 65_536)
            except OSError:  # the end of a terminal whose program ended
                break
        return _OTHER_ESCAPES.sub("", self._seen.decode().replace("\r\n", "\n")).rstrip("\n").split("\n")

    def end(self, sign: signal.Signals = signal.SIGINT) -> int:
        """End the program and return its exit code."""
        if self._process.poll() is None:
            self._process.send_signal(sign)
        return self._process.wait(PATIENCE_S)


def _output(command: str) -> list[str]:
    terminal = _Terminal(command)
    lines = terminal.read_until()
    if code := terminal.end():
        raise RuntimeError("\n".join([f"{command} ended with {code}:", *lines]))
    return lines


def _between(lines: list[str], beginning: str, count: int) -> list[str]:
    first = next(number for number, line in enumerate(lines) if beginning in line)
    return lines[first : first + count]


def _table(lines: list[str]) -> Iterator[str]:
    """Yield the rows that say of stores and names that they are in place, and an ellipsis for the rest."""
    yield from (line for line in lines if re.match(r"(System store|Chromium|Block in).*\x1b", line))
    yield "…"


def draw(shots: Iterable[Shot], palette: dict[str, str]) -> str:
    """Return the recording as an SVG document that needs nothing from elsewhere."""
    lines: list[list[Span]] = []
    for shot in shots:
        prompt = Span(0, "$", frozenset({"2"}))
        lines += [[prompt, Span(2, shot.command, frozenset({"1"}))], *(spans(line) for line in shot.lines), []]
    lines.pop()
    width = COLUMNS * CHAR_WIDTH + 2 * MARGIN
    height = len(lines) * LINE_HEIGHT + 2 * MARGIN
    words = escape("; ".join(shot.command for shot in shots))
    drawn = "\n".join(_line(number, line, palette) for number, line in enumerate(lines) if line)
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" \
role="img" aria-label="devtls in a terminal">
<title>devtls in a terminal: {words}</title>
<rect x="0.5" y="0.5" width="{width - 1:g}" height="{height - 1:g}" rx="8" fill="{palette["back"]}" \
stroke="{palette["edge"]}"/>
<g font-family="{FONT}" font-size="13.3" fill="{palette["text"]}">
{drawn}
</g>
</svg>
"""


def spans(line: str) -> list[Span]:
    """Return a line of a terminal as pieces of one look each."""
    found: list[Span] = []
    styles: frozenset[str] = frozenset()
    column = 0
    for number, piece in enumerate(_SGR.split(line.rstrip())):
        if number % 2:
            codes = set(piece.split(";")) - {""}
            styles = frozenset() if not codes or "0" in codes else styles | codes
        elif piece:
            found.append(Span(column, piece, styles))
            column += len(piece)
    if found:
        found[-1] = found[-1]._replace(text=found[-1].text.rstrip())
    return [span for span in found if span.text.strip()]


def _line(number: int, line: list[Span], palette: dict[str, str]) -> str:
    y = MARGIN + (number + 0.75) * LINE_HEIGHT
    return f'<text y="{y:g}">{"".join(_span(span, palette) for span in line)}</text>'


def _span(span: Span, palette: dict[str, str]) -> str:
    colour = next((f' fill="{palette[style]}"' for style in sorted(span.styles) if style in palette), "")
    bold = ' font-weight="bold"' if "1" in span.styles else ""
    x, length = MARGIN + span.column * CHAR_WIDTH, len(span.text) * CHAR_WIDTH
    return f'<tspan x="{x:g}" textLength="{length:g}"{colour}{bold}>{escape(span.text).replace(" ", "&#160;")}</tspan>'


def main() -> None:
    """Record in namespaces of our own, then draw both pictures."""
    if INSIDE in sys.argv:
        json.dump(record(), sys.stdout)
        return
    argv = ["unshare", "--mount", "--net", sys.executable, "-m", __spec__.name, INSIDE]
    done = subprocess.run(argv, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True, check=True)
    shots = [Shot(*each) for each in json.loads(done.stdout)]
    IMAGES.mkdir(exist_ok=True)
    for name, palette in PALETTES.items():
        (IMAGES / f"terminal-{name}.svg").write_text(draw(shots, palette))


if __name__ == "__main__":
    main()
