"""Certificate requests (PKCS #10, RFC 2986) from elsewhere.

Owns what is taken from one: the names and the key, after its signature has shown that the sender holds the key.
Refuses to take anything else; what else stood in it is named, so that nobody misses it later.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import NameOID

from devtls.errors import CertificateError

_MAX_BYTES = 65_536
_CSR_HINT = "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 … makes one"
_PEM_MARK = b"-----BEGIN "
# Older tools write NEW in the label (RFC 7468 7).
_REQUESTS = re.compile(rb"-----BEGIN (?:NEW )?CERTIFICATE REQUEST-----")
_EXTENSION_REQUEST = x509.ObjectIdentifier("1.2.840.113549.1.9.14")  # RFC 2985 5.4.2: the extensions themselves


class CertificateRequest(msgspec.Struct, frozen=True):
    """The names of a request, as they were written and not checked yet, and its key.

    `left_out` is everything else that stood in it, in words.
    """

    names: tuple[str, ...]
    key: CertificatePublicKeyTypes
    left_out: tuple[str, ...]


def read_request(content: bytes) -> CertificateRequest:
    """Return what is in a request, PEM or DER. Raises CertificateError when it is none, or not its key's."""
    request = _load(content)
    try:
        # Inside the try: cryptography parses key and extensions only when they are asked for.
        key = request.public_key()
        proven = request.is_signature_valid
        extensions = list(request.extensions)
    except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension, TypeError) as error:
        raise CertificateError(f"The certificate request cannot be used: {error}.", hint=_CSR_HINT) from error
    if not proven:
        raise CertificateError(
            "The certificate request is not signed with its own key: it was changed, or its maker lacks the key.",
            hint="make the request again where the key is",
        )
    alternative = [one.value for one in extensions if isinstance(one.value, x509.SubjectAlternativeName)]
    # RFC 6125 6.4.4: a common name counts only where there is no alternative name.
    names = tuple(_names_of(alternative[0])) if alternative else _common_names(request)
    if not names:
        raise CertificateError("The certificate request names no host.", hint=_CSR_HINT)
    return CertificateRequest(names, key, tuple(_left_out(request, extensions, names)))


def _load(content: bytes) -> x509.CertificateSigningRequest:
    if len(content) > _MAX_BYTES:
        raise CertificateError("This is larger than any certificate request.", hint=_CSR_HINT)
    # cryptography would take the first and say nothing of the others.
    if (count := len(_REQUESTS.findall(content))) > 1:
        raise CertificateError(
            f"The file holds {count} certificate requests.", hint="one file and one command for each"
        )
    # Anywhere in the file: `openssl req -text` writes a description in front.
    load = x509.load_pem_x509_csr if _PEM_MARK in content else x509.load_der_x509_csr
    try:
        return load(content)
    except ValueError as error:
        raise CertificateError("This is no certificate request.", hint=_CSR_HINT) from error


def _names_of(alternative: x509.SubjectAlternativeName) -> Iterator[str]:
    for name in alternative:
        if isinstance(name, x509.DNSName):
            yield name.value
        elif isinstance(name, x509.IPAddress):
            yield str(name.value)


def _common_names(request: x509.CertificateSigningRequest) -> tuple[str, ...]:
    return tuple(str(one.value) for one in request.subject.get_attributes_for_oid(NameOID.COMMON_NAME))


def _left_out(
    request: x509.CertificateSigningRequest,
    extensions: list[x509.Extension[x509.ExtensionType]],
    names: tuple[str, ...],
) -> Iterator[str]:
    for attribute in request.subject:
        if attribute.oid != NameOID.COMMON_NAME or attribute.value not in names:
            yield f"subject {attribute.rfc4514_string()}"
    for extension in extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            yield from (
                f"name {_shown(name)}"
                for name in extension.value
                if not isinstance(name, x509.DNSName | x509.IPAddress)
            )
        else:
            yield f"extension {_oid_name(extension.oid)}"
    for one in request.attributes:
        if one.oid != _EXTENSION_REQUEST:
            yield f"attribute {_oid_name(one.oid)}"


def _oid_name(oid: x509.ObjectIdentifier) -> str:
    name = oid._name  # the only place where cryptography keeps the names of object identifiers
    return oid.dotted_string if name == "Unknown OID" else name


def _shown(name: x509.GeneralName) -> str:
    value = name.value
    return value.rfc4514_string() if isinstance(value, x509.Name) else str(value)
