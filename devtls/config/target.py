"""The syntax of targets: `3000`, `"127.0.0.1:8000"`, `"h2c://[::1]:50051"`, `"unix:app.sock"`, `"./site"` -> Target.

Owns the spelling of targets. Refuses link-local addresses and those of cloud metadata services in every spelling,
addresses that are only good for listening, and everything that could be read in two ways. The reasons are ValueErrors
of one sentence with a hint; `toml` knows the key and the line and turns them into ConfigError.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import PurePath
from typing import Final

from devtls.config.model import Scheme, StaticTarget, Target, TcpTarget, UnixTarget
from devtls.errors import InvalidName
from devtls.names import is_below, parse_hostname

MAX_SOCKET_PATH_BYTES = 107
"""Linux: sun_path holds 108 bytes with the NUL at the end."""

_LONGEST_PATH = 4096  # Linux' PATH_MAX (limits.h)
_SPELLINGS = (
    'Write a port (3000), "host:port", "http://…", "https://…", "h2c://…", "unix:/path" or a folder ("./site").'
)
SCHEMES: Final[dict[str, Scheme]] = {"http": "http", "https": "https", "h2c": "h2c", "h2": "h2"}
DEFAULT_PORTS: Final[dict[Scheme, int]] = {"http": 80, "https": 443, "h2c": 80, "h2": 443}
SECURE: Final[frozenset[Scheme]] = frozenset(("https", "h2"))
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)\Z", re.DOTALL)
# A directory shows itself by its beginning (dot, slash, drive): every other text is a host.
_DIRECTORY = re.compile(r"(?:\.{1,2}(?:[/\\]|\Z)|/|\\|[A-Za-z]:[/\\])")
_NUMBER_LABEL = re.compile(r"(?:0[xX][0-9A-Fa-f]*|[0-9]+)\Z")
# The well-known prefix (RFC 6052 2.1), and the one for local use (RFC 8215).
_NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))
# Where clouds keep them beside the link-local network: AWS and Google over IPv6, Alibaba, Azure, Oracle.
_METADATA = tuple(
    map(ipaddress.ip_network, ("fd00:ec2::/32", "fd20:ce::254", "100.100.100.200", "168.63.129.16", "192.0.0.192"))
)
_NEVER_DIALLED = (
    "169.254.0.0/16, fe80::/10, fd00:ec2::/32, fd20:ce::254, 100.100.100.200, 168.63.129.16 and 192.0.0.192 reach "
    "cloud metadata services, which give credentials; no setting allows them."
)
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class TargetError(ValueError):
    """A target that cannot be used; `hint` says what to write instead."""

    def __init__(self, message: str, hint: str = _SPELLINGS) -> None:
        super().__init__(message)
        self.hint = hint


def parse_target(text: str, directory: str) -> Target:
    """Return the target that `text` spells; relative paths count from `directory`. Raises TargetError."""
    if text.startswith("unix:"):
        return parse_socket(text.removeprefix("unix:"), directory)
    if scheme := _SCHEME.match(text):
        return _parse_url(scheme[1].lower(), scheme[2])
    if _DIRECTORY.match(text):
        return parse_directory(text, directory)
    if text.isascii() and text.removeprefix(":").isdigit():
        # Six digits are enough to see that it is no port; int() of a long text is quadratic.
        return TcpTarget("http", "", parse_port(int(text.removeprefix(":")[:6])))
    host, port = _split_host_port(text)
    if port is None:
        raise TargetError(f"the target {text!r} has no port")
    return TcpTarget("http", host, port)


def parse_port(number: int) -> int:
    """Return `number` when an app can listen there. Raises TargetError."""
    if not 1 <= number <= 65535:
        # 0xfff… may be an integer that Python refuses to print (over 4,300 digits).
        shown = str(number) if abs(number) < 10**9 else "a number of that size"
        raise TargetError(f"{shown} is no port", "Ports go from 1 to 65535.")
    return number


def parse_directory(text: str, directory: str) -> StaticTarget:
    """Return the static target `text`, counted from `directory`. Raises TargetError."""
    return StaticTarget(join_path(text, directory))


def parse_socket(text: str, directory: str) -> UnixTarget:
    """Return the Unix socket `text`, counted from `directory`. Raises TargetError."""
    # Abstract sockets (unix(7)) have no permissions: any user of the machine could listen there.
    if text.startswith("@"):
        raise TargetError(f"the abstract socket {text!r} is not supported", 'Use a socket file: "unix:/run/app.sock".')
    path = join_path("/" + text.lstrip("/") if text.startswith("//") else text, directory)
    if len(path.encode()) > MAX_SOCKET_PATH_BYTES:
        raise TargetError(
            f"the socket path {path!r} has more than {MAX_SOCKET_PATH_BYTES} bytes",
            "The system cannot connect to such a path: move the socket to a shorter one, such as /tmp/app.sock.",
        )
    return UnixTarget(path)


def join_path(text: str, directory: str) -> str:
    """Return the path `text`, counted from `directory`; `..` stays, since links may make it mean something else."""
    if not text:
        raise TargetError("the path is empty")
    # Surrogates have no UTF-8, and a NUL ends a path for the kernel.
    if "\0" in text or any(0xD800 <= ord(char) <= 0xDFFF for char in text):
        raise TargetError(f"{text!r} is no path")
    if text == "~" or text.startswith("~/"):
        raise TargetError(
            f"~ is not expanded in {text!r}", "Write the whole path, or one that counts from the file's folder."
        )
    if len(text) > _LONGEST_PATH:
        raise TargetError(f"the path has more than {_LONGEST_PATH} characters", "No system opens such a path.")
    return str(PurePath(directory) / text)


def _parse_url(scheme: str, rest: str) -> TcpTarget:
    checked = SCHEMES.get(scheme)
    if checked is None:
        raise TargetError(*_foreign_scheme(scheme))
    authority = rest[:-1] if rest.endswith("/") else rest
    if not authority or re.search(r"[/?#\\]", authority):
        raise TargetError(
            f"the target {scheme}://{rest} is more than an origin",
            "Write scheme, host and port only: the path of the browser is kept, or cut by strip_prefix = true.",
        )
    # Userinfo in http URLs is deprecated (RFC 9110 4.2.4), and a proxy would not send it on.
    if "@" in authority:
        raise TargetError("the target carries a user name or password", "Remove the part before the @.")
    host, port = _split_host_port(authority)
    return TcpTarget(checked, host, DEFAULT_PORTS[checked] if port is None else port)


def _foreign_scheme(scheme: str) -> tuple[str, str]:
    if scheme in ("grpc", "grpcs"):
        meant = "h2c" if scheme == "grpc" else "h2"
        return f"{scheme}:// is not needed", f"gRPC is HTTP/2: write {meant}://."
    if scheme in ("ws", "wss"):
        plain = "http" if scheme == "ws" else "https"
        return f"{scheme}:// is not needed", f"Write {plain}://: WebSockets pass through ordinary routes."
    if scheme == "file":
        return "file:// is not supported", 'Write the folder itself, such as { static = "site" }.'
    return f"{scheme}:// targets are not supported", _SPELLINGS


def _split_host_port(text: str) -> tuple[str, int | None]:
    # RFC 3986 3.2.2.
    bracketed = re.fullmatch(r"\[([^\[\]]*)\](?::([0-9]{1,6}))?", text, re.ASCII)
    if bracketed:
        host, port = bracketed[1], bracketed[2]
        if ":" not in host:
            raise TargetError(f"{text!r} has brackets, but no IPv6 address in them")
    elif text.count(":") > 1:
        raise TargetError(f"the IPv6 address in {text!r} needs brackets", 'Write "[::1]:3000".')
    else:
        host, colon, port = text.partition(":")
        if colon and not re.fullmatch(r"[0-9]{1,6}", port, re.ASCII):
            raise TargetError(f"{port!r} in {text!r} is no port", "Ports go from 1 to 65535.")
    return parse_target_host(host), parse_port(int(port)) if port else None


def parse_target_host(text: str) -> str:
    """Return an IP address in its shortest spelling, or a host name; TargetError for what is not to be dialled."""
    address = _address(text)
    if address is not None:
        return _dialable(address)
    try:
        name = parse_hostname(text)
    except InvalidName as error:
        raise TargetError(f"{text!r} is neither an IP address nor a host name", error.hint or _SPELLINGS) from error
    if _NUMBER_LABEL.match(name.rpartition(".")[2]):
        # inet_aton reads 2852039166, 0xa9fea9fe and 169.254.43518 as 169.254.169.254: none of these spellings passes.
        raise TargetError(
            f"{text!r} is neither an IP address nor a host name", "Write the address as four decimal numbers."
        )
    return name


def _address(text: str) -> _Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    # ::ffff:169.254.169.254 dials the IPv4 address (RFC 4291 2.5.5.2).
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _is_metadata_service(address: _Address) -> bool:
    """Look inside IPv6 addresses that carry an IPv4 one, too: compatible, NAT64 (RFC 6052), 6to4 (RFC 3056), Teredo."""
    if address.is_link_local or any(address in network for network in _METADATA):
        return True
    if isinstance(address, ipaddress.IPv4Address):
        return False
    number = int(address)
    carried = [address.sixtofour, *(address.teredo or ())]
    # Below 2**32: IPv4-compatible addresses (RFC 4291 2.5.5.1), deprecated but still parsed.
    if number < 1 << 32 or any(address in network for network in _NAT64):
        carried.append(ipaddress.IPv4Address(number & 0xFFFF_FFFF))
    return any(one is not None and _is_metadata_service(one) for one in carried)


def _dialable(address: _Address) -> str:
    if _is_metadata_service(address):
        what = f"the address {address} is link-local or a cloud metadata service's"
        raise TargetError(f"{what}, and always refused", _NEVER_DIALLED)
    if address.is_unspecified:
        raise TargetError(f"{address} is an address to listen on", "Write the port alone (3000) or 127.0.0.1:3000.")
    if address.is_multicast or str(address) == "255.255.255.255":
        raise TargetError(
            f"{address} is no address of one host", "Write the address of the machine that the app runs on."
        )
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id:
        raise TargetError(f"the scope in {address} means nothing here", "Write the address without %.")
    return str(address)


def is_refused_address(text: str) -> bool:
    """Say whether the IP address `text` must never be dialled: what a name resolved to is asked, too."""
    address = _address(text)
    return address is not None and (_is_metadata_service(address) or address.is_multicast or address.is_unspecified)


def is_loopback_host(host: str) -> bool:
    """Say whether a target is this machine: "", localhost and names below it (RFC 6761 6.3), 127.0.0.0/8, ::1."""
    address = _address(host)
    if address is not None:
        return address.is_loopback
    return host == "" or is_below(host, "localhost")


def parse_listen_address(text: str) -> str:
    """Return a loopback address to listen on (brackets allowed). Raises TargetError for every other one."""
    address = _address(text[1:-1] if text.startswith("[") and text.endswith("]") else text)
    # Apps in development expect no strangers: nothing that other machines reach.
    if address is None or not address.is_loopback or "%" in text:
        raise TargetError(
            f"{text!r} is no loopback address", "devtls listens on 127.0.0.1, others of 127.0.0.0/8, and ::1 only."
        )
    return str(address)
