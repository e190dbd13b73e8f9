"""The address of `devtls check`: a URL or a host, as people write them.

Owns the spellings (`https://host:port/path`, `host`, `host:port`, `[::1]:8443`, `::1`, Unicode names). Refuses plain
`http://`, other schemes, user names and ports that are none: what a browser would not open with TLS has no certificate.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from devtls.config.lines import visible
from devtls.errors import InvalidAddress, InvalidName
from devtls.names import Hostname, parse_hostname

HTTPS_PORT = 443

Host = Hostname | IPv4Address | IPv6Address

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
# wss is TLS as well (RFC 6455 section 3), with the same certificate.
_SECURE = frozenset({"https", "wss"})
_SPELLINGS = "Write https://app.dev.local, app.dev.local:8443, 127.0.0.1:8443 or [::1]:8443."
_LONGEST = 2000


@dataclass(frozen=True, slots=True)
class Address:
    """A server as a browser names it."""

    host: Host
    port: int = HTTPS_PORT

    @property
    def is_ip(self) -> bool:
        """Whether the host is an IP address: then no name is sent, and a certificate must hold the address."""
        return not isinstance(self.host, str)

    @property
    def authority(self) -> str:
        """Host and, unless it is 443, port, as a URL has them."""
        host = f"[{self.host}]" if isinstance(self.host, IPv6Address) else str(self.host)
        return host if self.port == HTTPS_PORT else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The address as a browser shows it."""
        return f"https://{self.authority}/"

    def with_port(self, port: int) -> Address:
        """Return the same host on another port."""
        return Address(self.host, port)


def parse_address(text: str, default_port: int = HTTPS_PORT) -> Address:
    """Return the address in `text`; raises InvalidAddress."""
    text = text.strip()
    if len(text) > _LONGEST:
        raise InvalidAddress("This address is far too long to be one.", hint=_SPELLINGS)
    scheme = _SCHEME.match(text)
    rest = text[scheme.end() :] if scheme else text
    # Browsers read a backslash as a slash (WHATWG URL).
    authority = re.split(r"[/?#\\]", rest, maxsplit=1)[0]
    if scheme and scheme[1].lower() not in _SECURE:
        raise _wrong_scheme(scheme[1].lower(), authority)
    if "@" in authority:
        raise InvalidAddress(f"{_shown(text)} has a user name in it.", hint=_SPELLINGS)
    host, port = _split(authority, text)
    return Address(_parse_host(host, text), _parse_port(port, text) if port is not None else default_port)


def _wrong_scheme(scheme: str, authority: str) -> InvalidAddress:
    if scheme in {"http", "ws"}:
        return InvalidAddress(
            f"{scheme}:// is plain HTTP: no certificate is shown there, so there is nothing to check.",
            hint=f"devtls check https://{visible(authority)}",
        )
    return InvalidAddress(f"{scheme}:// is no address that a browser opens with TLS.", hint=_SPELLINGS)


def _split(authority: str, text: str) -> tuple[str, str | None]:
    """Return host (without brackets) and port, None when there is none."""
    bracketed = re.fullmatch(r"\[([^\]]*)\](?::(.*))?", authority)
    if bracketed:
        if ":" not in bracketed[1]:
            raise InvalidAddress(f"{_shown(text)}: what stands in brackets is no IPv6 address.", hint=_SPELLINGS)
        return bracketed[1], bracketed[2]
    if authority.count(":") > 1:  # an IPv6 address as people type it
        return authority, None
    host, colon, port = authority.partition(":")
    return host, port if colon else None


def _parse_host(host: str, text: str) -> Host:
    try:
        return ip_address(host)
    except ValueError:
        if ":" in host:
            raise InvalidAddress(f"{_shown(text)} holds no IPv6 address.", hint=_SPELLINGS) from None
    try:
        name = parse_hostname(host)
    except InvalidName as error:
        raise InvalidAddress(visible(str(error)), hint=error.hint or _SPELLINGS) from error
    if name.rpartition(".")[2].isdigit():  # a browser takes it for an IPv4 address in an old spelling
        raise InvalidAddress(f"{_shown(text)} is no whole IPv4 address.", hint=_SPELLINGS)
    return name


def _parse_port(port: str, text: str) -> int:
    # int() would take other digits, underscores and signs; [:6] keeps it from a number of megabytes.
    if not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536):
        raise InvalidAddress(f"{_shown(text)} has no port from 1 to 65535.", hint=_SPELLINGS)
    return int(port)


def _shown(text: str) -> str:
    return f"'{visible(text[:80])}'"
