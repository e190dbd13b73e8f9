"""The client side of TLS, towards an app that speaks it.

Owns the report of how the handshake ended; verification is the context's.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

from devtls.net.tls.layer import TlsLayer


class TlsClient(TlsLayer):
    """The client side, towards an app that speaks TLS; `established` receives None or what went wrong."""

    def __init__(
        self,
        context: ssl.SSLContext,
        server_name: str,
        application: asyncio.Protocol,
        established: Callable[[str | None], None],
    ) -> None:
        super().__init__()
        self._context = context
        self._server_name = server_name
        self._inner = application
        self._report = established

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the ClientHello."""
        super().connection_made(transport)
        self._begin(self._context.wrap_bio(self._incoming, self._outgoing, server_hostname=self._server_name))

    def _application(self) -> asyncio.Protocol:
        asyncio.get_running_loop().call_soon(self._report, None)
        return self._inner

    def _failed(self, reason: str) -> None:
        self._report(reason)
