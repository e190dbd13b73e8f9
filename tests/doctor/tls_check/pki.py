"""Certificates of every kind, good and bad, and servers that show them: what `devtls check` is tried on.

Owns a small CA for tests that refuses nothing. Keys are P-256 unless a test wants another.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address, ip_network
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from devtls.doctor.tls_check.certificate import Certificate, read_certificate
from devtls.pki import der

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
_RSA_SHA256, _RSA_SHA1 = bytes.fromhex("06092a864886f70d01010b"), bytes.fromhex("06092a864886f70d010105")
HTTP_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@dataclass(frozen=True)
class LeafSpec:
    """What a certificate shall be; the defaults make a good leaf for app.check.test."""

    subject: str = "a leaf"
    dns: tuple[str, ...] = ("app.check.test",)
    ips: tuple[str, ...] = ()
    not_before: datetime = NOW - DAY
    not_after: datetime = NOW + 90 * DAY
    key: Key = field(default_factory=new_key)
    ca: bool = False
    path_length: int | None = None
    constraints: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    purposes: tuple[x509.ObjectIdentifier, ...] | None = (ExtendedKeyUsageOID.SERVER_AUTH,)
    may_sign: bool = True
    crl: str = ""
    ocsp: str = ""
    issuer_url: str = ""
    critical_san: bool = False
    extra: tuple[tuple[x509.ExtensionType, bool], ...] = ()
    identifiers: bool = True


@dataclass(frozen=True)
class Issued:
    """A certificate with its key, and who signed it (None = itself)."""

    raw: x509.Certificate
    key: Key
    signer: Issued | None = None

    @property
    def facts(self) -> Certificate:
        return read_certificate(self.raw.public_bytes(Encoding.DER))

    @property
    def pem(self) -> bytes:
        return self.raw.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def issue(self, wish: LeafSpec) -> Issued:
        return _make(wish, self)


def make_root(subject: str = "a root", **wishes: object) -> Issued:
    """Return a self-signed CA."""
    wish = LeafSpec(subject=subject, dns=(), ca=True, purposes=None, not_after=NOW + 3650 * DAY)
    return _make(replace(wish, **wishes), None)  # type: ignore[arg-type] # the names are those of LeafSpec


def make_intermediate(root: Issued, subject: str = "an intermediate", **wishes: object) -> Issued:
    wish = LeafSpec(subject=subject, dns=(), ca=True, purposes=None, not_after=NOW + 1000 * DAY)
    return root.issue(replace(wish, **wishes))  # type: ignore[arg-type] # the names are those of LeafSpec


def self_signed(wish: LeafSpec) -> Issued:
    return _make(wish, None)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)] if text else [])


def _make(wish: LeafSpec, signer: Issued | None) -> Issued:
    key = signer.key if signer else wish.key
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(wish.subject))
        .issuer_name(signer.raw.subject if signer else _name(wish.subject))
        .public_key(wish.key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(wish.not_before)
        .not_valid_after(wish.not_after)
    )
    for value, critical in _extensions(wish, key):
        builder = builder.add_extension(value, critical)
    return Issued(builder.sign(key, SHA256()), wish.key, signer)


def signed_with_sha1(issued: Issued, root: Issued) -> Issued:
    """Return the same certificate with a signature of the RSA key of `root` over SHA-1, which no builder makes."""
    assert isinstance(root.key, rsa.RSAPrivateKey)
    inside = issued.raw.tbs_certificate_bytes.replace(_RSA_SHA256, _RSA_SHA1)
    signature = root.key.sign(inside, PKCS1v15(), SHA1())
    whole = der.sequence(inside, der.sequence(_RSA_SHA1, b"\x05\x00"), der.bit_string(signature))
    return Issued(x509.load_der_x509_certificate(whole), issued.key, root)


def _extensions(wish: LeafSpec, signing: Key) -> Iterator[tuple[x509.ExtensionType, bool]]:
    yield x509.BasicConstraints(wish.ca, wish.path_length), True
    if wish.identifiers:
        yield x509.SubjectKeyIdentifier.from_public_key(wish.key.public_key()), False
        yield x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), False
    yield _key_usage(signs=wish.ca and wish.may_sign), True
    names = [*(x509.DNSName(name) for name in wish.dns), *(x509.IPAddress(ip_address(ip)) for ip in wish.ips)]
    if names:
        yield x509.SubjectAlternativeName(names), wish.critical_san
    if wish.purposes is not None:
        yield x509.ExtendedKeyUsage(wish.purposes), False
    if wish.constraints or wish.excluded:
        permitted, excluded = ([_subtree(text) for text in each] or None for each in (wish.constraints, wish.excluded))
        yield x509.NameConstraints(permitted, excluded), True
    if wish.crl:
        place = x509.DistributionPoint([x509.UniformResourceIdentifier(wish.crl)], None, None, None)
        yield x509.CRLDistributionPoints([place]), False
    access = {AuthorityInformationAccessOID.OCSP: wish.ocsp, AuthorityInformationAccessOID.CA_ISSUERS: wish.issuer_url}
    if any(access.values()):
        described = [
            x509.AccessDescription(method, x509.UniformResourceIdentifier(url)) for method, url in access.items() if url
        ]
        yield x509.AuthorityInformationAccess(described), False
    yield from wish.extra


def _subtree(text: str) -> x509.GeneralName:
    return x509.IPAddress(ip_network(text)) if "/" in text else x509.DNSName(text)


def _key_usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def make_crl(
    issuer: Issued,
    revoked: Sequence[Issued] = (),
    *,
    signer: Issued | None = None,
    this_update: datetime = NOW - DAY,
    next_update: datetime = NOW + DAY,
    reason: x509.ReasonFlags = x509.ReasonFlags.key_compromise,
) -> bytes:
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.raw.subject)
        .last_update(this_update)
        .next_update(next_update)
    )
    for each in revoked:
        entry = (
            x509.RevokedCertificateBuilder()
            .serial_number(each.raw.serial_number)
            .revocation_date(NOW - DAY)
            .add_extension(x509.CRLReason(reason), False)
        )
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign((signer or issuer).key, SHA256()).public_bytes(Encoding.DER)


Tune = Callable[[ssl.SSLContext], None]


def _server_context(directory: Path, leaf: Issued, chain: Sequence[Issued], tune: Tune | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # or OpenSSL would not load a weak certificate
    file = directory / f"server-{leaf.raw.serial_number:x}.pem"
    file.write_bytes(b"".join([leaf.pem, *(each.pem for each in chain), leaf.key_pem]))
    context.load_cert_chain(file)
    if tune is not None:
        tune(context)
    return context


@contextmanager
def showing(
    directory: Path, leaf: Issued, *chain: Issued, answer: bytes = HTTP_OK, tune: Tune | None = None
) -> Iterator[int]:
    """Serve `leaf` and `chain` on a port of 127.0.0.1, and `answer` to whoever asks; yields the port."""
    context = _server_context(directory, leaf, chain, tune)

    def serve(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False) as tls:
            try:
                tls.do_handshake()
            except ssl.SSLError:
                while socket.socket.recv(tls, 4096):  # to close before all is read would destroy the alert
                    continue
                return
            if tls.recv(4096):
                tls.sendall(answer)

    with accepting(serve) as port:
        yield port


@contextmanager
def accepting(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Run `serve` for each connection to a port of 127.0.0.1; yields the port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        over = threading.Event()

        def run(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                connection.settimeout(5)
                serve(connection)

        def accept() -> None:
            while True:
                connection, _ = server.accept()
                if over.is_set():
                    connection.close()
                    return
                threading.Thread(target=run, args=(connection,), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        port = int(server.getsockname()[1])
        try:
            yield port
        finally:
            over.set()
            socket.create_connection(("127.0.0.1", port), 5).close()
            thread.join(5)


@contextmanager
def publishing(answers: dict[str, bytes], asked: list[bytes] | None = None) -> Iterator[str]:
    """Serve `answers` by path over plain HTTP, which may still be changed; bodies of questions go to `asked`."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length", "0"))
            if asked is not None:
                asked.append(self.rfile.read(length))
            content = answers.get(self.path)
            self.send_response(200 if content is not None else 404)
            self.end_headers()
            self.wfile.write(content or b"")

        do_GET = do_POST = _answer

        def log_message(self, format: str, *args: object) -> None:
            del format, args

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
