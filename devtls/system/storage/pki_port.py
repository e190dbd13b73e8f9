"""The port on which a CA publishes its lists: chosen once, when the CA is made, and named in its certificates.

Owns the choice. Refuses to give up before fifty tries.
"""

from __future__ import annotations

import socket

from devtls.errors import StateError

# Below the ports that Linux (32768), macOS and Windows (49152) hand out to outgoing connections, so that the port is
# still free at the next start.
_PORTS = range(20000, 32768)
_ATTEMPTS = 50


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody has now."""
    import secrets  # with hashlib, hmac and random: 3 ms that only the making of a CA needs

    for _ in range(_ATTEMPTS):
        port = secrets.choice(_PORTS)
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise StateError("No free port was found for the revocation lists.", hint="close some programs and try again")
