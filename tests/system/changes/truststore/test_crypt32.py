from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from devtls.system.changes.truststore import crypt32
from devtls.system.changes.truststore.crypt32 import Location, RootStore, main
from devtls.system.changes.truststore.root import RootCertificate, sha1_of


class Function:
    """A function of a library: carries its declaration, as ctypes' own do."""

    restype: Any = None
    argtypes: Any = None

    def __init__(self, does: Callable[..., Any]) -> None:
        self.does = does

    def __call__(self, *arguments: Any) -> Any:
        assert len(arguments) == len(self.argtypes)
        return self.does(*arguments)


class Library:
    """crypt32 as Windows' manual describes it, over two lists."""

    def __init__(self) -> None:
        self.stores: dict[int, list[bytes]] = {Location.CURRENT_USER: [], Location.LOCAL_MACHINE: []}
        self.refuses = False
        self.opened: list[tuple[int, int]] = []
        self.closed = 0
        self._kept: list[Any] = []
        for name in crypt32._DECLARATIONS:
            setattr(self, name, Function(getattr(self, f"_{name}")))

    def _CertOpenStore(self, provider: int, _encoding: int, _key: None, flags: int, name: str) -> int:
        assert name == "ROOT"
        self.opened.append((provider, flags))
        return 0 if self.refuses and provider == 13 else flags & 0x30000

    def _CertCloseStore(self, _store: int, _flags: int) -> bool:
        self.closed += 1
        return True

    def _context(self, der: bytes) -> Any:
        buffer = ctypes.create_string_buffer(der, len(der))
        self._kept.append(buffer)
        context = crypt32._CertificateContext(0x10001, ctypes.cast(buffer, ctypes.c_void_p), len(der), None, None)
        return ctypes.pointer(context)

    def _CertEnumCertificatesInStore(self, store: int, before: Any) -> Any:
        held = self.stores[store]
        index = 0 if before is None else held.index(_der(before)) + 1
        return self._context(held[index]) if index < len(held) else None

    def _CertAddEncodedCertificateToStore(
        self, store: int, encoding: int, der: bytes, size: int, disposition: int, _context: None
    ) -> bool:
        assert (encoding, size, disposition) == (0x10001, len(der), 2)
        if not self.refuses and der not in self.stores[store]:
            self.stores[store].append(der)
        return not self.refuses

    def _CertFindCertificateInStore(
        self, store: int, _encoding: int, _flags: int, kind: int, wanted: Any, _before: None
    ) -> Any:
        assert kind == 0x10000
        blob = ctypes.cast(wanted, ctypes.POINTER(crypt32._Blob)).contents
        sha1 = ctypes.string_at(blob.data, blob.size).hex().upper()
        found = [der for der in self.stores[store] if sha1_of(der) == sha1]
        return self._context(found[0]) if found else None

    def _CertDeleteCertificateFromStore(self, context: Any) -> bool:
        if not self.refuses:
            self.stores[Location.CURRENT_USER].remove(_der(context))
        return not self.refuses


def _der(context: Any) -> bytes:
    return ctypes.string_at(context.contents.der, context.contents.size)


@pytest.fixture
def library() -> Library:
    return Library()


@pytest.fixture
def store(library: Library) -> RootStore:
    return RootStore(library, lambda: OSError(1223, "The operation was canceled by the user."))


def test_certificates_are_added_listed_and_deleted(
    library: Library, store: RootStore, root: RootCertificate, older_root: RootCertificate
) -> None:
    library.stores[Location.CURRENT_USER].append(older_root.der)
    assert main(["add", str(root.path)], store) == 0
    assert main(["add", str(root.path)], store) == 0
    assert store.certificates(Location.CURRENT_USER) == (older_root.der, root.der)
    assert store.certificates(Location.LOCAL_MACHINE) == ()
    assert main(["remove", sha1_of(root.der)], store) == 0
    assert main(["remove", sha1_of(root.der)], store) == 0
    assert store.certificates(Location.CURRENT_USER) == (older_root.der,)
    assert library.closed == len(library.opened)


def test_handles_are_declared_as_wide_as_a_pointer(library: Library, store: RootStore) -> None:
    for name, (result, arguments) in crypt32._DECLARATIONS.items():
        function = getattr(library, name)
        assert (function.restype, tuple(function.argtypes)) == (result, arguments)
    assert ctypes.sizeof(crypt32._HANDLE) == ctypes.sizeof(ctypes.c_void_p)


def test_a_no_in_the_dialog_is_reported(
    library: Library, store: RootStore, root: RootCertificate, capsys: pytest.CaptureFixture[str]
) -> None:
    library.stores[Location.CURRENT_USER].append(root.der)
    library.refuses = True
    assert main(["add", str(root.path)], store) == 1
    assert main(["remove", sha1_of(root.der)], store) == 1
    assert capsys.readouterr().err == "The operation was canceled by the user.\n" * 2
    with pytest.raises(OSError, match="canceled"):
        store.certificates(Location.CURRENT_USER)


def test_windows_own_number_for_no_becomes_a_sentence(
    library: Library, root: RootCertificate, capsys: pytest.CaptureFixture[str]
) -> None:
    class WindowsError(OSError):
        winerror = 1223

    library.refuses = True
    assert main(["add", str(root.path)], RootStore(library, WindowsError)) == 1
    assert capsys.readouterr().err == "you answered the dialog with no\n"


def test_a_file_that_is_not_there_is_reported(
    store: RootStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["add", str(tmp_path / "gone.pem")], store) == 1
    assert "No such file" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="there it is")
def test_elsewhere_there_is_no_crypt32() -> None:
    with pytest.raises(OSError, match="part of Windows"):
        RootStore.of_windows()
