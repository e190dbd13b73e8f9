"""The files behind the variables: written, made anew for another CA, and retired.

Owns what happens to them on disk. Each is replaced in one step, so a program that starts at that moment reads the old
one or the new one; one that is right already is not touched. Refuses to delete a list that a variable still names: it
loses our root and goes on, since without it the program would trust no site at all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from devtls.errors import CertificateError, StateError
from devtls.system.changes.clientenv.bundle_file import head_of
from devtls.system.changes.clientenv.java_options import named_truststore
from devtls.system.changes.clientenv.java_roots import certificates_of
from devtls.system.changes.clientenv.planning import java_truststore
from devtls.system.changes.clientenv.variables import JAVA_VARIABLE, NAMES, ROOT_FILE, TRUSTSTORE_FILE
from devtls.system.changes.record import ChangeRecord
from devtls.system.changes.truststore.root import RootCertificate, certificates_in, fingerprint_of, ours, pem_of
from devtls.system.machine.execute import write_atomically

_MODE = 0o644
_STORE = Path(TRUSTSTORE_FILE)


def write_files(files: Mapping[Path, bytes]) -> tuple[Path, ...]:
    """Write what is not as it should be and return it; raises StateError."""
    return tuple(path for path, content in files.items() if _write(path, content))


def renew_files(directory: Path, root: RootCertificate) -> None:
    """Make `root` and its older ones the only roots of ours in every list that a shell may name; raises StateError."""
    for path in _lists(directory):
        content = _with_root(path, root)
        if content:
            _write(path, content)


def outdated_files(directory: Path, root: RootCertificate) -> tuple[Path, ...]:
    """Return the files that `renew_files` would change; raises StateError."""
    wanted = ((path, _with_root(path, root)) for path in _lists(directory))
    return tuple(path for path, content in wanted if content and content != _read(path))


def retire_files(directory: Path, environ: Mapping[str, str], fingerprints: Collection[str] = ()) -> tuple[str, ...]:
    """End the trust that variables give, and return the variables that still name a file of ours; raises StateError.

    `fingerprints` are roots that go besides those of ours: imported ones, which nothing tells from the user's own.
    """
    named = {name: path for name in NAMES if (path := _named(name, environ)) and path.parent == directory}
    for path in _lists(directory):
        content = _with_root(path, None, fingerprints) if path in named.values() else b""
        if content:
            _write(path, content)
        else:
            path.unlink(missing_ok=True)
    (directory / ROOT_FILE).unlink(missing_ok=True)
    return tuple(named)


def are_retired(directory: Path) -> bool:
    """Whether `devtls untrust` was the last word here: `devtls trust` writes the root's file, untrust removes it."""
    return ChangeRecord(directory).knows_roots() and not (directory / ROOT_FILE).exists()


def _named(name: str, environ: Mapping[str, str]) -> Path | None:
    value = environ.get(name, "")
    path = named_truststore(value) if name == JAVA_VARIABLE else value
    return Path(path) if path else None


def _lists(directory: Path) -> Iterator[Path]:
    for pattern in ("ca-bundle*.pem", f"{_STORE.stem}*{_STORE.suffix}"):
        yield from sorted(directory.glob(pattern))


def _with_root(path: Path, root: RootCertificate | None, dropped: Collection[str] = ()) -> bytes:
    """Return a file of ours with `root` and its older ones as the only roots of ours, b"" when there are no others."""
    data = _read(path)
    is_java = path.suffix == _STORE.suffix
    present = _java_roots(data) if is_java else certificates_in(data)
    gone = {*dropped, *(fingerprint_of(der) for der in (root.ders if root else ()))}
    others = [der for der in present if ours(der) is None and fingerprint_of(der) not in gone]
    if not others:
        return b""
    certificates = [*others, *(root.ders if root else ())]
    if is_java:
        return java_truststore(certificates, root)
    return head_of(data) + b"".join(pem_of(der) for der in certificates)


def _java_roots(data: bytes) -> tuple[bytes, ...]:
    try:
        return certificates_of(data)
    except CertificateError:  # not as we left it: nothing can be kept of it
        return ()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise _unusable(path, error) from error


def _write(path: Path, content: bytes) -> bool:
    if _read(path) == content:
        return False
    try:
        write_atomically(path, content, _MODE)
    except OSError as error:
        raise _unusable(path, error) from error
    return True


def _unusable(path: Path, error: OSError) -> StateError:
    return StateError(
        f"{path} cannot be written: {error.strerror or error}.",
        path=str(path),
        hint="check who owns the folder and whether the disk is full",
    )
