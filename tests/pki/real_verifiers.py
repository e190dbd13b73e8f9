"""Verifiers that people have: each is given a chain, a root, both revocation lists, a purpose, and says what it thinks.

Owns one function per program: OpenSSL (strict), Python (as strict as 3.13 is by itself), GnuTLS, NSS, Java's PKIX with
revocation on, Node, Go. Each returns "" for a certificate that it accepts, else what it said. Refuses to soften a
check.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from devtls.pki.authority import Authority
from devtls.pki.intermediate import Intermediate
from devtls.pki.names_in_certificates import Kind
from tests.conftest import RequireTool


@dataclass(frozen=True)
class Case:
    """A certificate with its key, and what it is to be looked at with; `name` is what a client asks for."""

    authority: Authority
    leaf: x509.Certificate
    key_pem: bytes
    crl: bytes
    kind: Kind = "server"
    name: str = "app.dev.local"
    directory: Path = field(default_factory=Path)
    between: tuple[x509.Certificate, ...] = ()
    """Further CAs that an attacker put between the leaf and the intermediate."""

    @property
    def issuer(self) -> Intermediate:
        """The intermediate that signed it, or the CA above it."""
        signed = self.between[-1] if self.between else self.leaf
        return next(each for each in self.authority.intermediates if each.certificate.subject == signed.issuer)

    def write(self) -> Path:
        """Write everything a verifier may want, and return the folder."""
        lists = [x509.load_der_x509_crl(one) for one in (self.authority.root_crl_der, self.crl)]
        leaf = self.leaf.public_bytes(Encoding.PEM)
        above = b"".join(each.public_bytes(Encoding.PEM) for each in self.between)
        above += self.authority.chain_pem(self.issuer)
        files = {f"crl{number}.pem": one.public_bytes(Encoding.PEM) for number, one in enumerate(lists)}
        files |= {
            "root.pem": self.authority.root_pem,
            "intermediate.pem": above,
            "leaf.pem": leaf,
            "chain.pem": leaf + above,
            "key.pem": self.key_pem,
            "crls.pem": b"".join(one.public_bytes(Encoding.PEM) for one in lists),
            "root.crl": self.authority.root_crl_der,
            "intermediate.crl": self.crl,
        }
        for name, content in files.items():
            (self.directory / name).write_bytes(content)
        return self.directory


Verify = Callable[[Case, RequireTool], str]
_PURPOSES = {"server": "1.3.6.1.5.5.7.3.1", "client": "1.3.6.1.5.5.7.3.2"}


def run(argv: list[str], directory: Path, accepted: str, environment: Mapping[str, str] | None = None) -> str:
    """Return "" when a program ends well and says `accepted`, else what it said."""
    done = subprocess.run(argv, cwd=directory, capture_output=True, text=True, timeout=60, check=False, env=environment)
    said = done.stdout + done.stderr
    return "" if done.returncode == 0 and accepted in said else said or f"exit code {done.returncode}"


def openssl(case: Case, require_tool: RequireTool) -> str:
    tool = require_tool("openssl", "apt-get install openssl")
    name = ["-verify_hostname", case.name] if case.kind == "server" else []
    options = ["-x509_strict", "-purpose", f"ssl{case.kind}", "-crl_check_all", "-CRLfile", "crls.pem", *name]
    chain = ["-CAfile", "root.pem", "-untrusted", "intermediate.pem", "leaf.pem"]
    return run([tool, "verify", *options, *chain], case.write(), "leaf.pem: OK")


def gnutls(case: Case, require_tool: RequireTool) -> str:
    tool = require_tool("certtool", "apt-get install gnutls-bin")
    trust = ["--load-ca-certificate", "root.pem", "--load-crl", "crls.pem"]
    what = ["--infile", "chain.pem", "--verify-purpose", _PURPOSES[case.kind]]
    name = ["--verify-hostname", case.name] if case.kind == "server" else []
    return run([tool, "--verify", *trust, *what, *name], case.write(), "The certificate is trusted.")


def _each_above(directory: Path) -> list[str]:
    """Write every certificate above the leaf into a file of its own, as certutil wants them; the highest first."""
    names: list[str] = []
    for number, one in enumerate(x509.load_pem_x509_certificates((directory / "intermediate.pem").read_bytes())):
        names.insert(0, f"above{number}.pem")
        (directory / names[0]).write_bytes(one.public_bytes(Encoding.PEM))
    return names


def nss(case: Case, require_tool: RequireTool) -> str:
    certutil = require_tool("certutil", "apt-get install libnss3-tools")
    crlutil = require_tool("crlutil", "apt-get install libnss3-tools")
    directory = case.write()
    database = ["-d", "sql:" + str(directory)]
    steps = [
        [certutil, *database, "-N", "--empty-password"],
        [certutil, *database, "-A", "-n", "root", "-t", "CT,,", "-a", "-i", "root.pem"],
        *([certutil, *database, "-A", "-n", name, "-t", ",,", "-a", "-i", name] for name in _each_above(directory)),
        [certutil, *database, "-A", "-n", "leaf", "-t", ",,", "-a", "-i", "leaf.pem"],
        [crlutil, *database, "-I", "-i", "root.crl"],
        [crlutil, *database, "-I", "-i", "intermediate.crl"],
    ]
    for step in steps:
        if said := run(step, directory, ""):
            raise AssertionError(f"{step}: {said}")
    return run(
        [certutil, *database, "-V", "-n", "leaf", "-u", "V" if case.kind == "server" else "C"], directory, "is valid"
    )


_JAVA = """\
import java.io.FileInputStream;
import java.security.cert.*;
import java.util.*;

class Verify {
    public static void main(String[] arguments) throws Exception {
        CertificateFactory factory = CertificateFactory.getInstance("X.509");
        List<Object> lists = new ArrayList<>(factory.generateCRLs(new FileInputStream("crls.pem")));
        Collection<? extends Certificate> chain = factory.generateCertificates(new FileInputStream("chain.pem"));
        Certificate root = factory.generateCertificate(new FileInputStream("root.pem"));
        PKIXParameters parameters = new PKIXParameters(Set.of(new TrustAnchor((X509Certificate) root, null)));
        parameters.setRevocationEnabled(true);
        parameters.addCertStore(CertStore.getInstance("Collection", new CollectionCertStoreParameters(lists)));
        X509CertSelector purpose = new X509CertSelector();
        purpose.setExtendedKeyUsage(Set.of(arguments[0]));
        parameters.setTargetCertConstraints(purpose);
        CertPath path = factory.generateCertPath(new ArrayList<>(chain));
        CertPathValidator.getInstance("PKIX").validate(path, parameters);
        System.out.println("accepted");
    }
}
"""


def java(case: Case, require_tool: RequireTool) -> str:
    tool = require_tool("java", "apt-get install default-jdk-headless")
    require_tool("javac", "apt-get install default-jdk-headless")
    directory = case.write()
    (directory / "Verify.java").write_text(_JAVA)
    options = ["-XX:TieredStopAtLevel=1", "-Dcom.sun.security.enableCRLDP=false"]
    return run([tool, *options, "Verify.java", _PURPOSES[case.kind]], directory, "accepted")


_NODE = """\
const [fs, tls] = [require("fs"), require("tls")];
const read = (name) => fs.readFileSync(name);
const [kind, name] = process.argv.slice(1);
const own = { key: read("key.pem"), cert: read("chain.pem") };
const checks = { ca: read("root.pem"), crl: [read("crl0.pem"), read("crl1.pem")] };
const throwaway = { key: read("other-key.pem"), cert: read("other.pem") };
const ofServer = kind === "server" ? own : { ...throwaway, ...checks, requestCert: true, rejectUnauthorized: false };
const finish = (said, code) => { console.log(said); process.exit(code); };
const server = tls.createServer(ofServer, (socket) => {
  socket.on("error", () => {});
  if (kind === "client" && !socket.authorized) finish(String(socket.authorizationError), 1);
  socket.end("in");
});
server.listen(0, "127.0.0.1", () => {
  const ofClient = kind === "server" ? { ...checks, servername: name } : { ...own, rejectUnauthorized: false };
  const client = tls.connect({ port: server.address().port, host: "127.0.0.1", ...ofClient });
  client.on("error", (error) => kind === "server" && finish(`${error.code} ${error.message}`, 1));
  client.on("data", () => finish("accepted", 0));
});
"""


def node(case: Case, require_tool: RequireTool) -> str:
    tool = require_tool("node", "apt-get install nodejs")
    directory = case.write()
    _make_other(directory, require_tool)
    return run([tool, "-e", _NODE, case.kind, case.name], directory, "accepted")


_PYTHON = """\
import ssl, sys
kind, name = sys.argv[1:]
strict = ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_CRL_CHECK_CHAIN
def showing(context):
    context.load_cert_chain("chain.pem", "key.pem")
    return context
def checking(context):
    context.load_verify_locations("root.pem")
    context.load_verify_locations("crls.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= strict
    return context
server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
client.check_hostname = kind == "server"
if kind == "server":
    showing(server), checking(client)
else:
    client.verify_mode = ssl.CERT_NONE
    showing(client), checking(server).load_cert_chain("other.pem", "other-key.pem")
here, there = ssl.MemoryBIO(), ssl.MemoryBIO()
waiting = [client.wrap_bio(here, there, server_hostname=name), server.wrap_bio(there, here, server_side=True)]
while waiting:
    for side in tuple(waiting):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
        waiting.remove(side)
print("accepted")
"""


def python(case: Case, require_tool: RequireTool) -> str:
    """Shake hands as Python 3.13 does by default, and with both lists."""
    directory = case.write()
    _make_other(directory, require_tool)
    return run([sys.executable, "-c", _PYTHON, case.kind, case.name], directory, "accepted")


def _make_other(directory: Path, require_tool: RequireTool) -> None:
    openssl = require_tool("openssl", "apt-get install openssl")
    made = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=x"]
    said = run([openssl, "req", "-x509", *made, "-keyout", "other-key.pem", "-out", "other.pem"], directory, "")
    assert not said, said


_GO = """\
package main

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
)

func load(name string) []*x509.Certificate {
	content, found := []byte{}, []*x509.Certificate{}
	content, _ = os.ReadFile(name)
	for {
		block, rest := pem.Decode(content)
		if block == nil {
			return found
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		found, content = append(found, certificate), rest
	}
}

func main() {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(load("root.pem")[0])
	for _, certificate := range load("intermediate.pem") {
		between.AddCert(certificate)
	}
	options := x509.VerifyOptions{Roots: roots, Intermediates: between}
	options.KeyUsages = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if os.Args[1] == "server" {
		options.KeyUsages, options.DNSName = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, os.Args[2]
	}
	if _, err := load("leaf.pem")[0].Verify(options); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("accepted")
}
"""


def go(case: Case, require_tool: RequireTool) -> str:
    """Verify as crypto/tls does, hence Caddy, Traefik and kubectl: it looks at no CRL."""
    tool = _built(require_tool("go", "apt-get install golang-go"))
    return run([tool, case.kind, case.name], case.write(), "accepted")


@cache
def _built(tool: str) -> str:
    directory = Path(mkdtemp(prefix="devtls-go-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    (directory / "verify.go").write_text(_GO)
    environment = {**os.environ, "GOCACHE": str(directory / "cache"), "GO111MODULE": "off"}
    said = run([tool, "build", "-o", "verify", "verify.go"], directory, "", environment)
    assert not said, said
    return str(directory / "verify")


VERIFIERS: dict[str, Verify] = {
    "openssl": openssl,
    "python": python,
    "gnutls": gnutls,
    "nss": nss,
    "java": java,
    "node": node,
    "go": go,
}
WITHOUT_CRLS = frozenset({"go"})
"""Those that look at no CRL."""
