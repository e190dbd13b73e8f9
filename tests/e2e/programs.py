"""Every program on the command line that an address is given to: how each fetches it, and whose list it reads.

Owns one row per program, and the folder that it fetches from. Refuses to switch a check off and to name a certificate,
but for wget and gnutls-cli, which listen to no variable and are told the file that one names, as the guide says.
Strategy: success is the exit code and what was shown; whether a program reads the system's list where nothing tells it
otherwise is asked of the build where builds differ.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.clients import RequireTool

ANSWER = "it is ready"
NAMES = ("curl", "git", "wget", "urllib", "requests", "node", "java", "gnutls-cli")

_URLLIB = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=20).read().decode())"
_REQUESTS = "import sys, requests; print(requests.get(sys.argv[1], timeout=20).text)"
_NODE = """\
const lookup = (_name, options, done) =>
  options.all ? done(null, [{ address: "127.0.0.1", family: 4 }]) : done(null, "127.0.0.1", 4);
require("https").get(process.argv[1], { lookup, agent: false }, (answer) => answer.pipe(process.stdout))
  .on("error", (error) => { console.error(`${error.code}: ${error.message}`); process.exit(1); });
"""
_JAVA = """\
import java.net.URL;
import javax.net.ssl.HttpsURLConnection;

class Fetch {
    public static void main(String[] arguments) throws Exception {
        HttpsURLConnection connection = (HttpsURLConnection) new URL(arguments[0]).openConnection();
        System.out.println(new String(connection.getInputStream().readAllBytes()));
    }
}
"""


@dataclass(frozen=True)
class Program:
    """One program: its command for an address, the path it asks for, and what it prints when all went well.

    `reads_system`: with no variable set it goes by the system's list (Java: by its own, which `devtls trust` fills).
    """

    argv: Callable[[str], tuple[str, ...]]
    reads_system: bool
    path: str = "/ready"
    shows: str = ANSWER


def make_site(directory: Path, require_tool: RequireTool) -> Path:
    """Make a folder with what the programs ask for: a file, a repository for git, a page for browsers."""
    git = require_tool("git", "sudo apt-get install git")
    subprocess.run([git, "init", "--quiet", "--bare", str(directory / "repository")], check=True, capture_output=True)
    subprocess.run([git, "-C", str(directory / "repository"), "update-server-info"], check=True)
    (directory / "ready").write_text(ANSWER)
    (directory / "index.html").write_text(f"<!doctype html><title>ready</title><p>{ANSWER}")
    return directory


def program(name: str, directory: Path, require_tool: RequireTool) -> Program:
    """Return a row; a program that is missing skips the test, in CI fails it. `folder` takes what has to be built."""

    def tool(name: str, package: str) -> str:
        return require_tool(name, f"sudo apt-get install {package}")

    match name:
        case "curl":
            start = (tool("curl", "curl"), "--silent", "--show-error", "--max-time", "20")
            return Program(lambda url: (*start, url), reads_system=True)
        case "git":
            # An empty repository has no refs: success is that, and says nothing.
            git = tool("git", "git")
            return Program(lambda url: (git, "ls-remote", url), reads_system=True, path="/repository", shows="")
        case "wget":
            return _wget(tool("wget", "wget"))
        case "urllib":
            python = tool("python3", "python3")
            return Program(lambda url: (python, "-I", "-c", _URLLIB, url), reads_system=True)
        case "requests":
            # certifi's list, which comes with it.
            return Program(lambda url: (sys.executable, "-I", "-c", _REQUESTS, url), reads_system=False)
        case "node":
            node = tool("node", "nodejs")
            return Program(lambda url: (node, "-e", _NODE, url), reads_system=_node_reads_system(node))
        case "java":
            _build_java(tool("javac", "default-jdk-headless"), directory)
            java = (tool("java", "default-jdk-headless"), "-cp", str(directory), "Fetch")
            return Program(lambda url: (*java, url), reads_system=True)
        case "gnutls-cli":
            return _gnutls(tool("gnutls-cli", "gnutls-bin"))
        case _:
            raise ValueError(name)


def _wget(tool: str) -> Program:
    """Return wget; built with GnuTLS, as Debian's is, it knows no variable and has to be told the bundle."""
    version = subprocess.run([tool, "--version"], capture_output=True, text=True, check=True).stdout
    fetch = (tool, "--no-verbose", "--tries=1", "--timeout=20", "--output-document=-")
    if "+ssl/openssl" in version:
        return Program(lambda url: (*fetch, url), reads_system=True)
    told = ("/bin/sh", "-c", 'exec "$@" ${SSL_CERT_FILE:+--ca-certificate="$SSL_CERT_FILE"}', "sh", *fetch)
    return Program(lambda url: (*told, url), reads_system=True)


def _gnutls(tool: str) -> Program:
    """Return GnuTLS's own client; at the end of its input it leaves, so it shows its verdict and no page."""
    script = 'exec "$0" --port "${2##*:}" ${SSL_CERT_FILE:+--x509cafile="$SSL_CERT_FILE"} "${1%:*}"'
    shows = "Status: The certificate is trusted."

    def argv(url: str) -> tuple[str, ...]:
        host = url.split("/")[2]
        return ("/bin/sh", "-c", script, tool, host, host)

    return Program(argv, reads_system=True, shows=shows)


def _node_reads_system(node: str) -> bool:
    """Ask Node whether it was built to read OpenSSL's list, as Debian's own is, or has Mozilla's inside."""
    script = "(process.config.target_defaults.defines || []).includes('NODE_OPENSSL_CERT_STORE')"
    return subprocess.run([node, "-p", script], capture_output=True, text=True, check=True).stdout == "true\n"


def _build_java(javac: str, directory: Path) -> None:
    """Compile once: a source file as program costs each start a second."""
    source = directory / "Fetch.java"
    source.write_text(_JAVA)
    subprocess.run([javac, "-nowarn", "-d", str(directory), str(source)], capture_output=True, check=True, timeout=60)
