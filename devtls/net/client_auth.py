"""Clients that prove who they are: the context that asks for a certificate, and what apps are told of it.

Owns how a name's policy becomes a TLS context, and the fields of RFC 9440. Refuses, by OpenSSL's own alerts, a client
without a certificate where one is required, one of another CA, one that has run out or was revoked. The context is
chosen before the handshake, so nothing is asked for twice. It hands out no tickets, and what TLS 1.2 remembers of a
session ends with the context, which is made anew with every change of the policy: a revocation list is one.
"""

from __future__ import annotations

import base64
import ssl
from typing import Any

import msgspec

Fields = tuple[tuple[bytes, bytes], ...]

_LIST_MARK = b"-----BEGIN X509 CRL-----"


class ClientPolicy(msgspec.Struct, frozen=True):
    """What clients of a name must show; `trust_pem` holds the CA's certificates and, where it has them, its lists.

    With any list in it there must be one for each CA that signed a client.
    """

    required: bool
    trust_pem: bytes


_MOST_REMEMBERED = 1024


class AskingContext(ssl.SSLContext):
    """A context that asks for a certificate; `policy` is the one that it was made by."""

    policy: ClientPolicy
    fields: dict[bytes, Fields]
    """What apps are told, by the certificate that was shown: a session that TLS 1.2 resumes has no chain any more."""

    def ask(self, policy: ClientPolicy, trust_path: str) -> None:
        """Ask by `policy`, whose `trust_pem` can be read at `trust_path`. Raises ssl.SSLError."""
        self.policy, self.fields = policy, {}
        self.load_verify_locations(trust_path)  # `cadata` takes no lists
        self.verify_mode = ssl.CERT_REQUIRED if policy.required else ssl.CERT_OPTIONAL
        if _LIST_MARK in policy.trust_pem:
            self.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
        self.options |= ssl.OP_NO_TICKET
        self.num_tickets = 0


def policy_of(ssl_object: Any) -> ClientPolicy | None:
    """Return the policy under which a connection was made."""
    context = None if ssl_object is None else ssl_object.context
    return context.policy if isinstance(context, AskingContext) else None


def proof(ssl_object: ssl.SSLObject) -> Fields:
    """Return Client-Cert and Client-Cert-Chain for an established connection, () when its client has shown nothing."""
    leaf = ssl_object.getpeercert(binary_form=True)
    if leaf is None:
        return ()
    known = ssl_object.context.fields if isinstance(ssl_object.context, AskingContext) else {}
    if chain := _chain(ssl_object):
        if len(known) >= _MOST_REMEMBERED:
            known.clear()
        known[leaf] = _fields(leaf, chain)
    return known.get(leaf) or _fields(leaf, [])


def _fields(leaf: bytes, chain: list[bytes]) -> Fields:
    # RFC 9440 2.3: in the order of TLS; the root may be left out, whoever checks the chain has it.
    between, first = chain[1:-1], ((b"Client-Cert", _item(leaf)),)
    return (*first, (b"Client-Cert-Chain", b", ".join(map(_item, between)))) if between else first


def _item(der: bytes) -> bytes:
    return b":" + base64.b64encode(der) + b":"  # RFC 8941 3.3.5


def _chain(ssl_object: Any) -> list[bytes]:
    """Return the chain that was verified, DER, the client's own certificate first and the root last.

    It is empty where nothing was verified: in a session that was resumed.
    """
    public = getattr(ssl_object, "get_verified_chain", None)
    if public is not None:  # Python 3.13
        return list(public())
    return [certificate.public_bytes(_DER) for certificate in ssl_object._sslobj.get_verified_chain() or ()]


_DER = 2
"""_ssl.ENCODING_DER"""
