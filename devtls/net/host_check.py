"""Looks at the answers with which an app may refuse the public host name, without holding them up.

Owns the first bytes of such a body, until they are enough to tell; `http.hostcheck` knows what they mean.
"""

from __future__ import annotations

from devtls.http.answers.host_check import SNIFF_BYTES, STATUSES, HostCheck, recognise
from devtls.http.events import Response
from devtls.http.headers import get


class RefusalWatch:
    """The body of one suspect answer, as far as it is worth looking at."""

    __slots__ = ("_body", "_content_type", "_status", "_wanted")

    def __init__(self, response: Response, wanted: int) -> None:
        self._status = response.status
        self._content_type = get(response.headers, b"content-type") or b""
        self._body = b""
        self._wanted = wanted

    def add(self, data: bytes) -> bool:
        """Take a piece of the body; True when more of it would tell nothing."""
        self._body += data[: self._wanted - len(self._body)]
        return len(self._body) >= self._wanted

    def verdict(self) -> HostCheck | None:
        """Return which framework's host check this was, if it was one."""
        return recognise(self._status, self._content_type, self._body)


def watch_for_refusal(response: Response) -> RefusalWatch | None:
    """Return a watch for an error that may be a host check, else None."""
    return RefusalWatch(response, SNIFF_BYTES) if response.status in STATUSES else None
