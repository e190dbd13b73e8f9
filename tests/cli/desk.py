"""A command line in front of a redirected machine: a small Debian whose certutil and curl are shell scripts."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

from click.testing import CliRunner, Result

from devtls.cli.group import cli
from devtls.errors import DevtlsError, ExitCode
from devtls.system.machine.machine import Machine

CERTUTIL = """\
while [ $# -gt 0 ]; do
  case "$1" in
    -d) dir=${2#sql:}; shift;; -n) nick=$2; shift;; -i) file=$2; shift;; -t) flags=$2; shift;; -a) ascii=1;;
    --empty-password) ;; *) action=$1;;
  esac; shift
done
case "$action" in
  -N) : >"$dir/cert9.db";;
  -A) cp "$file" "$dir/$nick.pem";;
  -D) rm "$dir/$nick.pem";;
  -L) if [ -n "$nick" ]; then cat "$dir/$nick.pem"; else
      for f in "$dir"/*.pem; do [ -e "$f" ] && echo "$(basename "$f" .pem)    C,,"; done; fi;;
esac
exit 0
"""
_BELIEVE = "import socket, ssl, sys; c = ssl._create_unverified_context(); " + (
    "c.wrap_socket(socket.create_connection(('127.0.0.1', int(sys.argv[1])))).close()"
)
MEET = f"""
for last in "$@"; do :; done
port=${{last%/}}
exec {sys.executable} -I -c "{_BELIEVE}" "${{port##*:}}"
"""
"""The end of a client that believes everything: one handshake with the port at the end of its last argument."""
CURL = (
    """\
for last in "$@"; do :; done
case "$last" in *invalid*) echo "permitted subtree violation" >&2; exit 60;; esac
[ -n "$CURL_CA_BUNDLE" ] || { echo "unable to get local issuer certificate" >&2; exit 60; }
"""
    + MEET
)


@dataclass
class Desk:
    """A redirected machine and the command line in front of it."""

    machine: Machine
    state: Path
    environ: dict[str, str] = field(default_factory=dict)

    def tool(self, name: str, script: str) -> Path:
        path = self.machine.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    def run(self, *arguments: str, answer: str = "") -> Result:
        return CliRunner().invoke(cli, arguments, input=answer)

    def succeed(self, *arguments: str, answer: str = "") -> Result:
        result = self.run(*arguments, answer=answer)
        assert result.exception is None or result.exit_code == 0, (result.output, result.exception)
        return result

    def fail(self, code: ExitCode, *arguments: str, answer: str = "") -> DevtlsError:
        result = self.run(*arguments, answer=answer)
        assert isinstance(result.exception, DevtlsError), (result.output, result.exception)
        assert result.exception.exit_code is code
        return result.exception

    @property
    def bundle(self) -> Path:
        return self.machine.root / "etc/ssl/certs/ca-certificates.crt"

    @property
    def nss(self) -> Path:
        return self.machine.home / ".local/share/pki/nssdb"
