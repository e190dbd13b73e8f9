"""Programs that a user has, as a user starts them: curl, Python and Node fetching one address without any switch.

Owns how each is told that a name is on this machine, since the test's names are in no DNS. Refuses to switch a check
off: what makes a client trust the proxy is its machine, or the one variable that `devtls trust` named.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Any

RequireTool = Callable[[str, str], str]

_PATIENCE_S = 60.0
_PACKAGES = {"curl": "curl", "python3": "python3", "node": "nodejs"}
_PYTHON = """\
import socket, ssl, sys
name, port = sys.argv[1], int(sys.argv[2])
with socket.create_connection(("127.0.0.1", port), 8) as plain:
    with ssl.create_default_context().wrap_socket(plain, server_hostname=name) as tls:
        tls.sendall(f"GET /ready HTTP/1.1\\r\\nHost: {name}:{port}\\r\\nConnection: close\\r\\n\\r\\n".encode())
        print(b"".join(iter(lambda: tls.recv(65536), b"")).decode())
"""
_NODE = """\
const [name, port] = process.argv.slice(1);
const lookup = (_name, options, done) =>
  options.all ? done(null, [{ address: "127.0.0.1", family: 4 }]) : done(null, "127.0.0.1", 4);
require("https").get(`https://${name}:${port}/ready`, { lookup, agent: false }, (answer) => answer.pipe(process.stdout))
  .on("error", (error) => { console.error(error.code); process.exit(1); });
"""

Ended = subprocess.CompletedProcess[str]


async def run(argv: Sequence[str], env: Mapping[str, str] | None = None) -> Ended:
    """Run a program to its end beside the loop."""
    return await asyncio.to_thread(
        subprocess.run,
        argv,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_PATIENCE_S,
        check=False,
    )


def require_clients(require_tool: RequireTool) -> None:
    """Skip the test where one of the programs is missing."""
    for program, package in _PACKAGES.items():
        require_tool(program, f"sudo apt-get install {package}")


def fetch_command(client: str, tool: str, name: str, port: int) -> tuple[str, ...]:
    """Return the command by which `tool` fetches `/ready`; its output ends with what the demo app says."""
    match client:
        case "curl":
            where = ("--resolve", f"{name}:{port}:127.0.0.1", f"https://{name}:{port}/ready")
            return (tool, "--silent", "--show-error", *where)
        case "python":
            return (tool, "-I", "-c", _PYTHON, name, str(port))
        case "node":
            return (tool, "-e", _NODE, name, str(port))
        case _:
            raise ValueError(client)


def named_setting(row: Mapping[str, Any]) -> dict[str, str]:
    """Return the variable that a row of the proof's table asks for, as an environment."""
    variable, _, value = row["setting"].partition("=")
    return {variable: value} if variable else {}
