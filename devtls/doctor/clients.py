"""The client programs whose trust is proved, and the meaning of their messages.

Owns one row per client: how it is started for one probe, and which variable makes it trust a root that its own list
lacks. Refuses to read success from text: only the exit code counts, the text explains a failure. Each program runs as
the user would run it, without our own settings; only proxies are kept out of the way, since the probe is on loopback.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

_PYTHON = """\
import socket, ssl, sys
name, port = sys.argv[1], int(sys.argv[2])
try:
    with socket.create_connection(("127.0.0.1", port), 8) as plain:
        ssl.create_default_context().wrap_socket(plain, server_hostname=name).close()
except ssl.SSLCertVerificationError as error:
    sys.exit(error.verify_message)
"""

_NODE = """\
const [name, port] = process.argv.slice(1);
const options = { host: "127.0.0.1", port: Number(port), servername: name, headers: { host: name }, agent: false };
const request = require("https").get(options, (response) => response.resume().on("end", () => process.exit(0)));
request.on("error", (error) => { console.error(`${error.code}: ${error.message}`); process.exit(1); });
"""


class Needs(Enum):
    """The file that a client's variable names: the bare root is added to its list, a bundle takes the list's place."""

    ROOT = "root"
    BUNDLE = "bundle"


@dataclass(frozen=True, slots=True)
class Probe:
    """One request of a client: `name` over TLS from `port` of 127.0.0.1."""

    name: str
    port: int


@dataclass(frozen=True, slots=True)
class Client:
    """One program: `names` are looked for on PATH in order."""

    name: str
    names: tuple[str, ...]
    arguments: Callable[[Probe], tuple[str, ...]]
    variable: str
    needs: Needs

    def argv(self, tool: Path, probe: Probe) -> tuple[str, ...]:
        """Return the command for one probe."""
        return (str(tool), *self.arguments(probe))


def _curl(probe: Probe) -> tuple[str, ...]:
    # Names of the proof need not resolve: setup of names is another command's matter.
    resolve = f"{probe.name}:{probe.port}:127.0.0.1"
    # --noproxy: a proxy of the user's cannot reach our loopback.
    quiet = ("--silent", "--show-error", "--output", "/dev/null", "--max-time", "8", "--noproxy", "*")
    return (*quiet, "--resolve", resolve, f"https://{probe.name}:{probe.port}/")


def _openssl(probe: Probe) -> tuple[str, ...]:
    where = ("-connect", f"127.0.0.1:{probe.port}", "-servername", probe.name)
    # Without -verify_return_error s_client goes on after a failure and ends with 0 (openssl-s_client(1)).
    return ("s_client", *where, "-verify_hostname", probe.name, "-verify_return_error", "-brief")


def _python(probe: Probe) -> tuple[str, ...]:
    # -I: a socket.py in the current directory must not be imported in the place of the standard library's.
    return ("-I", "-c", _PYTHON, probe.name, str(probe.port))


def _node(probe: Probe) -> tuple[str, ...]:
    return ("-e", _NODE, probe.name, str(probe.port))


CLIENTS: tuple[Client, ...] = (
    Client("curl", ("curl",), _curl, "CURL_CA_BUNDLE", Needs.BUNDLE),
    Client("openssl", ("openssl",), _openssl, "SSL_CERT_FILE", Needs.BUNDLE),
    Client("python", ("python3", "python"), _python, "SSL_CERT_FILE", Needs.BUNDLE),
    Client("node", ("node", "nodejs"), _node, "NODE_EXTRA_CA_CERTS", Needs.ROOT),
)


class RefusalReason(Enum):
    """The reason of a refusal, as far as the client's message tells."""

    UNKNOWN_ROOT = "it does not know the root"
    NAME_CONSTRAINTS = "the name is outside the zones of the CA"
    NO_ANSWER = "it did not end in time"
    OTHER = ""


_CONSTRAINTS = re.compile(
    r"permitted subtree violation|PERMITTED_(?:SUBTREE_)?VIOLATION|name.?constraint|NOT_IN_NAME_SPACE"
    r"|signer's constraints",
    re.IGNORECASE,
)
_UNKNOWN = re.compile(
    r"unable to (?:get|verify).{0,30}(?:issuer|first) certificate|self.signed certificate"
    r"|UNABLE_TO_(?:GET_ISSUER|VERIFY_LEAF)|SELF_SIGNED_CERT|unknown (?:ca|issuer)|UNKNOWN_ISSUER|issuer is unknown",
    re.IGNORECASE,
)


def read_reason(text: str) -> RefusalReason:
    """Return the meaning of a client's message; constraints first, since some clients add a general line below."""
    if _CONSTRAINTS.search(text):
        return RefusalReason.NAME_CONSTRAINTS
    if _UNKNOWN.search(text):
        return RefusalReason.UNKNOWN_ROOT
    return RefusalReason.OTHER
