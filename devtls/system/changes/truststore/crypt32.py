"""Windows' certificate stores through crypt32, and the small program that changes the user's.

Owns the declarations of every function that is called: without them handles are cut to 32 bits. Refuses other stores
than Root. Adding and deleting make Windows ask the user in a window, which is the point of it; so they run as a program
of their own (`python -m devtls.system.changes.truststore.crypt32 add FILE`), which a time limit can end. A certificate
that is there already is kept as it is: replacing one that a company's policy put there is refused by Windows.
Importable everywhere, of use on Windows only; nobody has run it there yet.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import wintypes
from enum import IntEnum
from pathlib import Path
from typing import Any

from devtls.system.changes.truststore.root import certificates_in

_ENCODING = 0x10001  # X.509 | PKCS #7
_PROVIDER_SYSTEM = 10
_PROVIDER_REGISTRY = 13  # without the machine's roots, which the user's store shows as well
# CERT_STORE_ADD_USE_EXISTING: Windows refuses to replace one that a policy put there.
_USE_EXISTING = 2
_FIND_SHA1 = 0x10000
_READ_ONLY = 0x8000
# ERROR_CANCELLED: the person said no in the dialog.
_CANCELLED = 1223


class Location(IntEnum):
    """Whose store."""

    CURRENT_USER = 0x10000
    LOCAL_MACHINE = 0x20000


class _CertificateContext(ctypes.Structure):
    """CERT_CONTEXT."""

    _fields_ = (
        ("encoding", wintypes.DWORD),
        ("der", ctypes.c_void_p),
        ("size", wintypes.DWORD),
        ("info", ctypes.c_void_p),
        ("store", ctypes.c_void_p),
    )


class _Blob(ctypes.Structure):
    """CRYPT_INTEGER_BLOB."""

    _fields_ = (("size", wintypes.DWORD), ("data", ctypes.c_void_p))


_HANDLE = ctypes.c_void_p
_CERTIFICATE = ctypes.POINTER(_CertificateContext)
_DECLARATIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "CertOpenStore": (_HANDLE, (ctypes.c_void_p, wintypes.DWORD, _HANDLE, wintypes.DWORD, wintypes.LPCWSTR)),
    "CertCloseStore": (wintypes.BOOL, (_HANDLE, wintypes.DWORD)),
    "CertEnumCertificatesInStore": (_CERTIFICATE, (_HANDLE, _CERTIFICATE)),
    "CertAddEncodedCertificateToStore": (
        wintypes.BOOL,
        (_HANDLE, wintypes.DWORD, ctypes.c_char_p, wintypes.DWORD, wintypes.DWORD, ctypes.c_void_p),
    ),
    "CertFindCertificateInStore": (
        _CERTIFICATE,
        (_HANDLE, wintypes.DWORD, wintypes.DWORD, wintypes.DWORD, ctypes.c_void_p, _CERTIFICATE),
    ),
    "CertDeleteCertificateFromStore": (wintypes.BOOL, (_CERTIFICATE,)),
}


class RootStore:
    """The store called Root of one location; errors are OSErrors with Windows' own number and words."""

    def __init__(self, library: Any, failure: Callable[[], OSError]) -> None:
        self._library = library
        self._failure = failure
        for name, (result, arguments) in _DECLARATIONS.items():
            function = getattr(library, name)
            # Without them ctypes takes int: handles would be cut to 32 bits.
            function.restype, function.argtypes = result, arguments

    @classmethod
    def of_windows(cls) -> RootStore:
        """Return the real one. Raises OSError where there is no crypt32."""
        if sys.platform != "win32":
            raise OSError("crypt32 is a part of Windows")
        # use_last_error: the interpreter's own calls would overwrite GetLastError's number.
        return cls(ctypes.WinDLL("crypt32", use_last_error=True), lambda: ctypes.WinError(ctypes.get_last_error()))

    @contextmanager
    def _open(self, provider: int, flags: int) -> Iterator[int]:
        handle = self._library.CertOpenStore(provider, 0, None, flags, "ROOT")
        if not handle:
            raise self._failure()
        try:
            yield handle
        finally:
            self._library.CertCloseStore(handle, 0)

    def certificates(self, location: Location) -> tuple[bytes, ...]:
        """Return every certificate in the location's own Root store."""
        found: list[bytes] = []
        with self._open(_PROVIDER_REGISTRY, location | _READ_ONLY) as store:
            # Each call frees the context that it is given, so the bytes are copied before.
            context = self._library.CertEnumCertificatesInStore(store, None)
            while context:
                found.append(ctypes.string_at(context.contents.der, context.contents.size))
                context = self._library.CertEnumCertificatesInStore(store, context)
        return tuple(found)

    def add(self, der: bytes) -> None:
        """Add to the user's store; Windows asks first."""
        with self._open(_PROVIDER_SYSTEM, Location.CURRENT_USER) as store:
            if not self._library.CertAddEncodedCertificateToStore(store, _ENCODING, der, len(der), _USE_EXISTING, None):
                raise self._failure()

    def remove(self, sha1: bytes) -> None:
        """Delete from the user's store; Windows asks first, and frees what was found."""
        hashed = ctypes.create_string_buffer(sha1, len(sha1))
        wanted = _Blob(len(sha1), ctypes.cast(hashed, ctypes.c_void_p))
        with self._open(_PROVIDER_SYSTEM, Location.CURRENT_USER) as store:
            found = self._library.CertFindCertificateInStore(
                store, _ENCODING, 0, _FIND_SHA1, ctypes.cast(ctypes.pointer(wanted), ctypes.c_void_p), None
            )
            # CertDeleteCertificateFromStore frees the context even where it fails.
            if found and not self._library.CertDeleteCertificateFromStore(found):
                raise self._failure()


def main(arguments: list[str], store: RootStore) -> int:
    """Do `add FILE` or `remove SHA1`; what went wrong stands on stderr."""
    verb, subject = arguments
    try:
        if verb == "add":
            for der in certificates_in(Path(subject).read_bytes()):
                store.add(der)
        else:
            store.remove(bytes.fromhex(subject))
    except OSError as error:
        declined = getattr(error, "winerror", None) == _CANCELLED
        sys.stderr.write("you answered the dialog with no\n" if declined else f"{error.strerror or error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], RootStore.of_windows()))
