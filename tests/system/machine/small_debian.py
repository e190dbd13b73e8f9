"""A redirected machine: a small Debian whose certutil and curl are shell scripts."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from devtls.system.machine.machine import Machine
from devtls.system.machine.plan import ALREADY_ROOT

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
_CONNECT = "import socket, ssl, sys; c = ssl._create_unverified_context(); " + (
    "c.wrap_socket(socket.create_connection(('127.0.0.1', int(sys.argv[1])))).close()"
)
HANDSHAKE = f"""
for last in "$@"; do :; done
port=${{last%/}}
exec {sys.executable} -I -c "{_CONNECT}" "${{port##*:}}"
"""
"""The end of a client that accepts every certificate: one handshake with the port at the end of its last argument."""
CURL = (
    """\
for last in "$@"; do :; done
case "$last" in *invalid*) echo "permitted subtree violation" >&2; exit 60;; esac
[ -n "$CURL_CA_BUNDLE" ] || { echo "unable to get local issuer certificate" >&2; exit 60; }
"""
    + HANDSHAKE
)
"""A curl that trusts the root when CURL_CA_BUNDLE names a file."""


@dataclass
class SmallDebian:
    """A machine below a directory, and the state directory of its user."""

    machine: Machine
    state: Path

    def tool(self, name: str, script: str) -> Path:
        path = self.machine.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    def install(self) -> None:
        """Put the home, the system's bundle of roots and the tools in place."""
        root = self.machine.root
        self.machine.home.mkdir(exist_ok=True)
        anchors = root / "usr/local/share/ca-certificates"
        anchors.mkdir(parents=True)
        self.bundle.parent.mkdir(parents=True)
        self.bundle.write_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        (anchors / "system.crt").write_bytes(self.bundle.read_bytes())
        (root / "etc/os-release").write_text("ID=debian\n")
        self.tool("usr/sbin/update-ca-certificates", f"cat {anchors}/*.crt >{self.bundle}")
        self.tool("usr/bin/certutil", CERTUTIL)
        self.tool("usr/bin/curl", CURL)

    @property
    def bundle(self) -> Path:
        return self.machine.root / "etc/ssl/certs/ca-certificates.crt"

    @property
    def nss(self) -> Path:
        return self.machine.home / ".local/share/pki/nssdb"


def redirected(directory: Path, home: Path) -> Machine:
    """Return a machine whose system lies below `directory`, for a user who is root already."""
    return Machine.redirected(directory / "system", home, {}, elevation=ALREADY_ROOT)
