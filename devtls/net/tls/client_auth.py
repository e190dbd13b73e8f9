"""Client certificates: the TLS context that asks for one, and the fields that pass it to apps (RFC 9440).

Owns how a name's policy becomes a TLS context, and the fields of RFC 9440. Refuses, by OpenSSL's own alerts, a client
without a certificate where one is required, one of another CA, one that has run out or was revoked. The context is
chosen before the handshake, so nothing is asked for twice. Python's ssl has no say in the verification, so what a
policy objects to beyond it is answered 403. It hands out no tickets, and what TLS 1.2 remembers of a
session ends with the context, which is made anew with every change of the policy: a revocation list is one.
"""

from __future__ import annotations

import base64
import ssl
from collections.abc import Callable
from typing import Any

import msgspec

_LIST_MARK = b"-----BEGIN X509 CRL-----"


class ClientPolicy(msgspec.Struct, frozen=True):
    """The client authentication of a name; `trust_pem` holds the CA's certificates and, where it has them, its lists.

    With any list in it there must be one for each CA that signed a client.
    """

    required: bool
    trust_pem: bytes
    whole_chain: bool = False
    """The CAs between a client and its root are looked for in the lists as well: there must be one for each CA."""
    objection: Callable[[bytes], str] | None = None
    """Return why a certificate (DER) that TLS accepted does not count all the same, "" if it does; None asks nobody."""


# Of one context; a client that is forgotten shows its leaf without the chain until its next full handshake.
_MOST_REMEMBERED = 1024


class Claim(msgspec.Struct, frozen=True):
    """The certificates of an open connection's client, and the policy that they must satisfy today."""

    chain: tuple[bytes, ...]
    policy: ClientPolicy | None


class AskingContext(ssl.SSLContext):
    """A context that asks for a certificate; `policy` is the policy that it was made by."""

    policy: ClientPolicy
    chains: dict[bytes, tuple[bytes, ...]]
    """What was verified, by the client's certificate: a session that TLS 1.2 resumes has no chain any more."""

    def ask(self, policy: ClientPolicy, trust_path: str) -> None:
        """Ask by `policy`, whose `trust_pem` can be read at `trust_path`. Raises ssl.SSLError."""
        self.policy, self.chains = policy, {}
        self.load_verify_locations(trust_path)  # `cadata` takes no lists
        self.verify_mode = ssl.CERT_REQUIRED if policy.required else ssl.CERT_OPTIONAL
        # OpenSSL fails where a CRL is missing: the whole chain is checked only when each CA has one.
        if policy.whole_chain:
            self.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_CHAIN
        elif _LIST_MARK in policy.trust_pem:
            self.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
        self.options |= ssl.OP_NO_TICKET
        self.num_tickets = 0  # OP_NO_TICKET alone still sends stateful ones in TLS 1.3


def policy_of(ssl_object: Any) -> ClientPolicy | None:
    """Return the policy under which a connection was made."""
    context = None if ssl_object is None else ssl_object.context
    return context.policy if isinstance(context, AskingContext) else None


def shown(ssl_object: ssl.SSLObject) -> tuple[bytes, ...]:
    """Return the chain that was verified, DER, the client's certificate first and the root last; () without one."""
    leaf = ssl_object.getpeercert(binary_form=True)
    if leaf is None:
        return ()
    known = ssl_object.context.chains if isinstance(ssl_object.context, AskingContext) else {}
    if chain := _chain(ssl_object):
        if len(known) >= _MOST_REMEMBERED:
            known.clear()
        known[leaf] = chain
    return known.get(leaf) or (leaf,)


def proof(chain: tuple[bytes, ...]) -> tuple[tuple[bytes, bytes], ...]:
    """Return Client-Cert and Client-Cert-Chain for what a client has shown."""
    # RFC 9440 2.3: in the order of TLS; the root may be left out, whoever checks the chain has it.
    between, fields = chain[1:-1], tuple((b"Client-Cert", _item(leaf)) for leaf in chain[:1])
    return (*fields, (b"Client-Cert-Chain", b", ".join(map(_item, between)))) if between else fields


def _item(der: bytes) -> bytes:
    return b":" + base64.b64encode(der) + b":"  # RFC 8941 3.3.5


def _chain(ssl_object: Any) -> tuple[bytes, ...]:
    """Return the chain that was verified, () in a session that was resumed: there nothing was."""
    public = getattr(ssl_object, "get_verified_chain", None)
    if public is not None:  # Python 3.13
        return tuple(public())
    return tuple(certificate.public_bytes(_DER) for certificate in ssl_object._sslobj.get_verified_chain() or ())


_DER = 2
"""_ssl.ENCODING_DER"""
