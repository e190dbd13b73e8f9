"""The variables that tell programs which roots to trust.

Owns knowledge, no behaviour: platform guide A.7. NODE_USE_SYSTEM_CA and DENO_TLS_CA_STORE are not among them: they
would make a program trust everything that the system does, where only our root was asked for. Two kinds must never be
mixed up: one adds to a program's own list, the other takes its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

ROOT_FILE = "devtls-root.pem"
"""The root in the state directory under a name that does not change: for commands, and for variables that add."""
BUNDLE_FILE = "ca-bundle.pem"
"""The system's roots and ours; ca-bundle-<...>.pem extends a file of the user's own."""
TRUSTSTORE_FILE = "devtls-truststore.p12"
"""The same for Java; devtls-truststore-<...>.p12 extends a truststore that is there already."""
JAVA_VARIABLE = "JAVA_TOOL_OPTIONS"


class Effect(Enum):
    """The effect of the file behind a variable on the program's own list."""

    ADDS = "adds"
    REPLACES = "replaces"


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable; `stands_in` are those that its programs read when this one is not set, nearest first."""

    name: str
    effect: Effect
    stands_in: tuple[str, ...] = ()


VARIABLES: tuple[Variable, ...] = (
    Variable("NODE_EXTRA_CA_CERTS", Effect.ADDS),
    Variable("DENO_CERT", Effect.ADDS),
    Variable("SSL_CERT_FILE", Effect.REPLACES),
    # curl reads SSL_CERT_FILE where its own variable is not set (curl(1)).
    Variable("CURL_CA_BUNDLE", Effect.REPLACES, ("SSL_CERT_FILE",)),
    # requests falls back to curl's variable, not to OpenSSL's (requests.Session).
    Variable("REQUESTS_CA_BUNDLE", Effect.REPLACES, ("CURL_CA_BUNDLE",)),
    Variable("PIP_CERT", Effect.REPLACES, ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")),
    Variable("AWS_CA_BUNDLE", Effect.REPLACES, ("REQUESTS_CA_BUNDLE",)),
    Variable("GIT_SSL_CAINFO", Effect.REPLACES),
    Variable("CARGO_HTTP_CAINFO", Effect.REPLACES, ("SSL_CERT_FILE",)),
)
NAMES: tuple[str, ...] = (*(variable.name for variable in VARIABLES), JAVA_VARIABLE)
