"""The CA certificates and CRLs by which clients of routes with `client_auth` are verified.

Owns one policy per way of asking. By default a client's certificate is one of our own CA, for host names in its zones
alone, and its revocation list counts, signed anew when half of its life is over; `client_ca` names another CA's file,
lists included. Refuses a file that cannot be used while the configuration is read, not at the first handshake. Whatever
changes a file here changes the policy, and with it what the next handshake goes by.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path

import msgspec

from devtls.errors import ConfigError, StateError
from devtls.names import Hostname
from devtls.net.tls.client_auth import Claim, ClientPolicy
from devtls.pki.certify import client_objection
from devtls.pki.crl_files import chain_is_accepted, crls_are_complete
from devtls.pki.der import pem
from devtls.pki.leaf import Signer
from devtls.pki.revocation import load_crl, resign_at
from devtls.routing import ClientAuth, Route
from devtls.system.storage.keystore import Keystore

# As for devtls.toml: no PEM file of CAs is larger, and a device never ends.
_MAX_BYTES = 1_048_576

Policies = dict[ClientAuth, ClientPolicy]


class NamesInZones(msgspec.Struct, frozen=True):
    """The names that clients of our own CA may have; two with the same zones are equal, and so are their policies."""

    zones: tuple[Hostname, ...]

    def __call__(self, der: bytes) -> str:
        """Return why a certificate does not count, "" if it does."""
        return client_objection(der, self.zones)


class ClientTrust:
    """The trusted CA certificates and CRLs for the clients of one proxy's routes."""

    def __init__(self, keystore: Keystore) -> None:
        self._keystore = keystore
        self._own = b""
        self._names = NamesInZones(())
        self._seen: Mapping[str, bytes] = {}
        """The CRLs from which that was made."""
        self._good: tuple[datetime, datetime] | None = None
        """From when to when none of them need be signed anew."""

    def read(self, routes: Iterable[Route], signer: Signer, now: datetime) -> Policies:
        """Return the policies that `routes` need; blocks. Raises ConfigError, StateError."""
        policies: Policies = {}
        for route in routes:
            auth = route.client_auth
            if auth is not None and auth not in policies:
                if auth.ca_file is None:
                    policies[auth] = self._own_policy(auth.required, signer, now)
                else:
                    policies[auth] = _policy_of_file(auth.required, _read(auth.ca_file, route))
        return policies

    def _own_policy(self, required: bool, signer: Signer, now: datetime) -> ClientPolicy:
        seen = self._keystore.crls_on_disk()
        if seen != self._seen or self._good is None or not self._good[0] <= now < self._good[1]:
            self._own = self._make_own(signer, now)
            # Read again: signing has just changed the files.
            self._seen = self._keystore.crls_on_disk()
        return ClientPolicy(required, self._own, objection=self._names)

    def _make_own(self, signer: Signer, now: datetime) -> bytes:
        authority = self._keystore.load(now)
        # Replaced on disk, not yet here: trust and leaves must be of one CA.
        if authority.fingerprint != signer.fingerprint:
            raise StateError("The CA was replaced.", hint="devtls serve takes the new one over in a moment")
        if not authority.signs_crls:
            raise StateError(
                "client_auth needs a CA that may sign revocation lists, and the imported one may not.",
                hint="client_ca names a PEM file with another CA for the clients of a route",
            )
        older = (each for each in self._keystore.load_older(now) if each.signs_crls)
        authorities = (authority, *older)  # what an older CA signed is good until it is retired
        self._names = NamesInZones(tuple(dict.fromkeys(zone for each in authorities for zone in each.zones)))
        issuers = [(each, issuer) for each in authorities for issuer in each.intermediates if issuer.signs("client")]
        lists = [self._keystore.next_crl(each, now, issuer) for each, issuer in issuers]
        crls = [load_crl(der) for der in lists]
        # From the latest thisUpdate on (a clock may be set back) to the first CRL that is due (RFC 5280 5.1.2.4).
        self._good = max(crl.last_update_utc for crl in crls), min(resign_at(crl) for crl in crls)
        # The intermediate too: programs send their own certificate and often nothing else.
        return b"".join(
            each.root_pem + each.chain_pem(issuer) + pem("X509 CRL", der)
            for (each, issuer), der in zip(issuers, lists, strict=True)
        )


def would_be_refused(claim: Claim) -> bool:
    """Say whether a client that was let in would be refused today: then what runs for it is not waited for."""
    policy = claim.policy
    if policy is None:
        return False
    if not claim.chain:
        return policy.required
    if policy.objection is not None and policy.objection(claim.chain[0]):
        return True
    return not chain_is_accepted(claim.chain, policy.trust_pem)


def _policy_of_file(required: bool, trust: bytes) -> ClientPolicy:
    # OpenSSL with CRL checks on refuses every client of a CA without a CRL (X509_VERIFY_PARAM_set_flags(3)).
    return ClientPolicy(required, trust, crls_are_complete(trust))


def _read(file: str, route: Route) -> bytes:
    try:
        if Path(file).exists() and not Path(file).is_file():  # a FIFO would never end
            raise _unusable(file, route, "is not a file")
        with Path(file).open("rb") as opened:
            content = opened.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise _unusable(file, route, "is larger than 1 MiB")
        # OpenSSL's own word: what it cannot load would fail each handshake.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(file)
    except (OSError, ssl.SSLError) as error:
        raise _unusable(file, route, f"cannot be used: {error.strerror or error}") from error
    return content


def _unusable(file: str, route: Route, why: str) -> ConfigError:
    return ConfigError(
        f"the certificate file {file} {why}.",
        source=route.config.source,
        key=f"routes.{route.config.key}.client_ca" if route.config.line else route.config.key,
        line=route.config.line,
        hint="Name a PEM file with the CA that signs your clients' certificates.",
    )
