"""The key store: the CA on disk, its successor while it is renewed, and the CAs before it.

Owns the files of the CA in the state directory. Refuses files that others can read or own, parts that do not belong
together, and formats of a later version. Strategy: a CA is one generation, a directory `ca-<id>` that is written whole
and synced before a single rename of the file `ca.current` makes it the CA. A crash at any point leaves the old CA or
the new one; what it left lying about is removed by the next change. Writers hold a lock; readers need none, they read
again when the pointer moved under them. A renewal takes two of those renames: the first notes the next CA, so that
stores can be given its root while the old one signs; the second makes it sign, and the old one is kept.

    <state>/ca.current              which generation signs, which is next, which are older (see `pointer`)
    <state>/ca.lock                 held while something is written
    <state>/ca-<id>/                root.pem root.crl intermediate.key intermediate.pem intermediate.crl signer.json
                                    intermediates.json client-intermediate.key client-intermediate.pem and .crl
                                    register.jsonl: what was issued and revoked (`register`)
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from devtls.errors import CertificateError, NoAuthority, Refused, StateError
from devtls.names import Hostname
from devtls.pki.leaf import NEW_CA, Signer
from devtls.system.machine.private_files import (
    check_private_directory,
    ensure_private_directory,
    locked,
    read_private_file,
    replace_private_file,
    sync_directory,
)
from devtls.system.storage.ca_directory import (
    KEY,
    NO_LOCKS,
    ROOT_CRL,
    ROOT_KEY,
    Lock,
    Locks,
    crl_file,
    key_file,
    remove_generation,
)
from devtls.system.storage.passphrase import NO_PASSPHRASES, PassphraseSource
from devtls.system.storage.pointer import GENERATION, Pointer, PointerEntry, parse_pointer, point_at, render_pointer
from devtls.system.storage.seal import open_sealed

if TYPE_CHECKING:
    from cryptography import x509

    from devtls.pki.authority import Authority
    from devtls.pki.intermediate import Intermediate
    from devtls.system.storage.generation import Generations

_POINTER = "ca.current"
_LOCK = "ca.lock"
_READ_ATTEMPTS = 5


class Keystore:
    """The CA in one state directory."""

    def __init__(self, state_dir: Path, passphrases: PassphraseSource = NO_PASSPHRASES) -> None:
        self.state_dir = state_dir
        self.passphrases = passphrases
        """Where the passphrase of a locked key comes from, besides the keyring."""
        self._pointer_path = state_dir / _POINTER

    # -- what there is ------------------------------------------------------------------------------------------------

    def exists(self) -> bool:
        """Say whether there is a CA; not whether it can be used."""
        try:
            return self._pointer_path.exists()
        except OSError as error:
            raise self._unusable(error) from error

    def fingerprint_on_disk(self) -> str | None:
        """Return the root's SHA-256 (hex) as the pointer has it, or None: cheap, tells a running proxy of a new CA."""
        pointer = self.pointer()
        return pointer.root_sha256 if pointer else None

    def is_current(self, signer: Signer) -> bool:
        """Say whether the CA on disk is that of `signer`; also when there is none any more. Raises StateError."""
        pointer = self.pointer()
        if pointer is None:
            return True
        return (pointer.root_sha256, pointer.generation) == (signer.fingerprint, signer.directory_name)

    def pointer(self) -> Pointer | None:
        """Return which CA signs, which is next, and which are older; None without a CA. Raises StateError."""
        try:
            content = read_private_file(self._pointer_path)
        except FileNotFoundError:
            return None
        return parse_pointer(content, self._pointer_path)

    def older_roots(self) -> tuple[x509.Certificate, ...]:
        """Return the roots of the older CAs, the latest first; one whose file is gone is left out."""
        found = map(self._generations.read_root, self._older())
        return tuple(root for root in found if root is not None)

    def directory_of(self, authority: Authority) -> Path:
        """Return the directory that holds the files of `authority`."""
        return self.state_dir / authority.generation

    # -- reading ------------------------------------------------------------------------------------------------------

    def load(self, now: datetime) -> Authority:
        """Return the CA; raises NoAuthority when there is none, StateError when it is unsafe, damaged or too old."""
        return self._load(now)

    def load_ended_too(self) -> Authority:
        """Return the CA whatever the date is: for the making of its successor. Raises what `load` raises."""
        return self._load(None)

    def load_older(self, now: datetime) -> tuple[Authority, ...]:
        """Return the older CAs that are whole and in their time: they go on publishing their CRLs."""
        found: list[Authority] = []
        for entry in self._older():
            try:
                found.append(self._generations.read(entry, now))
            except (FileNotFoundError, StateError, CertificateError):
                continue  # it signs nothing any more, and stores can drop its root without it
        return tuple(found)

    def _older(self) -> tuple[PointerEntry, ...]:
        pointer = self.pointer()
        return pointer.older if pointer else ()

    def _load(self, now: datetime | None) -> Authority:
        for _ in range(_READ_ATTEMPTS):
            pointer = self.pointer()
            if pointer is None:
                raise NoAuthority("There is no CA on this machine yet.", path=str(self.state_dir), hint="devtls trust")
            directory = self.state_dir / pointer.generation
            try:
                check_private_directory(self.state_dir)
                return self._generations.read(pointer.current, now)
            except FileNotFoundError as error:
                # Else a writer moved the pointer meanwhile, and removed what we were reading: once more.
                if self.pointer() == pointer:
                    raise StateError(f"{error.filename} is missing.", path=str(error.filename), hint=NEW_CA) from error
            except CertificateError as error:
                raise StateError(str(error), path=str(directory), hint=error.hint) from error
        raise StateError("The CA is being replaced right now.", path=str(self.state_dir), hint="try again in a moment")

    @cached_property
    def _generations(self) -> Generations:
        """The part that parses, makes and writes CAs.

        The start-up policy's late import: it loads cryptography's x509 and key formats (60 ms), which neither a start
        nor a command that only asks for the zones has to wait for. They read the pointer and the seal.
        """
        from devtls.system.storage.generation import Generations

        return Generations(self.state_dir, lambda: self.passphrases)

    def lock_like(self, authority: Authority) -> Lock | None:
        """Return what locks another key as that of `authority` is, None when it is not; may ask for its passphrase."""
        return self._generations.lock_like(authority)

    def load_signer(self, now: datetime) -> Signer:
        """Return the part of the CA that mints, its key unlocked; raises what `load` raises, and WrongPassphrase."""
        return self._sealed(now) or self._generations.open_signer(self.load(now))

    def zones(self, now: datetime) -> tuple[Hostname, ...]:
        """Return the zones of the CA, for which no key is unlocked; raises what `load` raises."""
        sealed = self._sealed(now)
        return sealed.zones if sealed is not None else self.load(now).zones

    def _sealed(self, now: datetime) -> Signer | None:
        """Return the signer from the seal, which needs no X.509 library; None when that does not hold."""
        pointer = self.pointer()
        # A CA from before there was a seal has none: its certificates are parsed at each start.
        if pointer is None or not pointer.seal_sha256:
            return None
        check_private_directory(self.state_dir)
        signer = open_sealed(self.state_dir / pointer.generation, pointer.seal_sha256, now)
        if signer is not None and (signer.fingerprint, signer.pki_port) == (pointer.root_sha256, pointer.pki_port):
            return signer
        return None

    # -- making and forgetting ----------------------------------------------------------------------------------------

    def create(
        self, zones: Iterable[Hostname], now: datetime, *, pki_port: int | None = None, locks: Locks = NO_LOCKS
    ) -> Authority:
        """Make a new CA and put it in the place of the old one, if any; without a lock the root's key is dropped."""
        with self._writing():
            return self._create(tuple(zones), now, pki_port, locks)

    def load_or_create(self, zones: Iterable[Hostname], now: datetime, locks: Locks = NO_LOCKS) -> Authority:
        """Return the CA, made now if there is none: two processes at the same moment get the same one."""
        with self._writing():
            return self.load(now) if self.exists() else self._create(tuple(zones), now, None, locks)

    def forget(self) -> None:
        """Delete the CA with its key, the older ones, and whatever a crash left of others."""
        if not self.state_dir.is_dir():
            return
        with self._writing():
            # On disk before the first file goes: after a crash no pointer leads to half a CA.
            self._pointer_path.unlink(missing_ok=True)
            sync_directory(self.state_dir)
            self._remove_generations(keep=None)

    def _create(self, zones: tuple[Hostname, ...], now: datetime, pki_port: int | None, locks: Locks) -> Authority:
        self._remove_generations(keep=self.pointer())
        authority, entry = self._generations.make(zones, now, locks, pki_port=pki_port)
        self._point(point_at(entry))
        return authority

    # -- one CA after the other ---------------------------------------------------------------------------------------

    def prepare_next(self, zones: Iterable[Hostname], now: datetime, locks: Locks = NO_LOCKS) -> Authority:
        """Return the CA that will follow the present one, on the same PKI port; it signs nothing yet.

        One that was prepared in the same way before, and is whole, is taken up again.
        """
        wanted = tuple(dict.fromkeys(zones))
        with self._writing():
            pointer = self._present()
            begun = self._begun(pointer, now)
            # One that an earlier devtls began would lack what a renewal is for.
            same = begun is not None and (begun.zones, begun.profile_gaps) == (wanted, ())
            if begun is not None and same and self._generations.is_locked_like(begun, locks):
                return begun
            self._remove_generations(keep=pointer)
            authority, entry = self._generations.make(wanted, now, locks, pki_port=pointer.pki_port)
            self._point(point_at(pointer.current, following=entry, older=pointer.older))
            return authority

    def adopt(self, authority: Authority, now: datetime, lock: Lock | None = None) -> bool:
        """Write an imported CA: as the one that signs where there is none, else as the next. Returns whether it signs.

        Raises Refused when it is the present one.
        """
        with self._writing():
            pointer = self.pointer()
            if pointer is not None and pointer.generation == authority.generation:
                raise Refused("This CA is the present one already.")
            # One that was prepared and never signed gives way.
            kept = msgspec.structs.replace(pointer, next=None) if pointer else None
            self._remove_generations(keep=kept)
            entry = self._generations.write(authority, now, lock=lock)
            if kept is None:
                self._point(point_at(entry))
            else:
                self._point(point_at(kept.current, following=entry, older=_without(kept.older, entry)))
            return kept is None

    def switch_to_next(self, authority: Authority) -> None:
        """Let the prepared `authority` sign from now on; the one before is kept as the first of the older ones."""
        with self._writing():
            pointer = self._present()
            if pointer.generation == authority.generation:
                return  # another process was faster
            if pointer.next is None or pointer.next.generation != authority.generation:
                raise StateError(
                    "Another renewal came in between.", path=str(self._pointer_path), hint="devtls ca renew"
                )
            self._point(point_at(pointer.next, older=(pointer.current, *pointer.older)))

    def drop_next(self) -> None:
        """Delete what was prepared and signs nothing yet."""
        with self._writing():
            pointer = self._present()
            self._point(point_at(pointer.current, older=pointer.older))

    def retire(self, fingerprints: Collection[str]) -> None:
        """Delete the older CAs, and the next one, whose roots are named here; the one that signs stays."""
        with self._writing():
            pointer = self._present()
            following = pointer.next if pointer.next and pointer.next.root_sha256 not in fingerprints else None
            # An older intermediate of the present root, of a CA that was imported twice, needs no store to change.
            older = tuple(
                entry for entry in pointer.older if entry.root_sha256 not in {*fingerprints, pointer.root_sha256}
            )
            self._point(point_at(pointer.current, following=following, older=older))

    def _present(self) -> Pointer:
        pointer = self.pointer()
        if pointer is None:
            raise NoAuthority("There is no CA on this machine yet.", path=str(self.state_dir), hint="devtls trust")
        return pointer

    def _begun(self, pointer: Pointer, now: datetime) -> Authority | None:
        if pointer.next is None:
            return None
        try:
            return self._generations.read(pointer.next, now)
        except (FileNotFoundError, StateError, CertificateError):
            return None  # it is made anew

    # -- keys under a passphrase --------------------------------------------------------------------------------------

    def root_key_file(self, authority: Authority) -> Path | None:
        """Return the container of the root's key, None for a CA whose root's key was dropped when it was made."""
        path = self.directory_of(authority) / ROOT_KEY
        return path if path.exists() else None

    def put_keys(self, authority: Authority, contents: Mapping[str, bytes]) -> None:
        """Write the keys of the present CA in another form, by the names of its intermediates.

        One after the other: after a crash the same command goes on.
        """
        with self._writing():
            for name, content in contents.items():
                if key_file(name) == KEY:
                    self._replace_sealed(authority, KEY, content, among=[self._present().current])
                else:  # not sealed: no start needs it
                    replace_private_file(self.directory_of(authority) / key_file(name), content)

    def _replace_sealed(
        self, authority: Authority, name: str, content: bytes, *, among: Collection[PointerEntry] | None = None
    ) -> None:
        """Replace a sealed file in one step, then the seal and the pointer: a start in between takes the long way."""
        pointer = self._present()
        entry = next((one for one in among or pointer.entries if one.generation == authority.generation), None)
        if entry is None:
            raise StateError("The CA was replaced.", path=str(self._pointer_path), hint="try again")
        self._point(pointer.renewed(self._generations.replace_sealed(entry, authority, name, content)))

    # -- CRLs ---------------------------------------------------------------------------------------------

    def next_crl(self, authority: Authority, now: datetime, issuer: Intermediate | None = None) -> bytes:
        """Return an intermediate's CRL (None = that for servers), signed anew when it is due or more was revoked.

        DER. Raises StateError.
        """
        with self.writing(authority):
            return self._generations.current_crl(authority, issuer or authority.intermediate, now)

    def root_crl(self, authority: Authority) -> bytes:
        """Return the root's CRL (DER) as it is now; empty when a root elsewhere publishes its own."""
        return read_private_file(self.directory_of(authority) / ROOT_CRL)

    def put_root_crl(self, authority: Authority, der: bytes) -> None:
        """Publish another CRL of the root; the caller holds the lock (`writing`)."""
        self._replace_sealed(authority, ROOT_CRL, der)

    def crls_on_disk(self) -> dict[str, bytes]:
        """Return path -> CRL of an intermediate (DER), the older CAs' too: cheap, tells a proxy of changes."""
        pointer = self.pointer()
        found: dict[str, bytes] = {}
        for entry in (pointer.current, *pointer.older) if pointer else ():
            for path in sorted((self.state_dir / entry.generation).glob(crl_file("*"))):
                if path.name != ROOT_CRL:
                    with suppress(FileNotFoundError):
                        found[str(path)] = read_private_file(path)
        return found

    @contextmanager
    def writing(self, authority: Authority) -> Iterator[Path]:
        """Hold the lock and give the directory of `authority`; raises StateError when the CA was replaced."""
        with self._writing():
            directory = self.directory_of(authority)
            if not directory.is_dir():
                raise StateError("The CA was replaced.", path=str(directory), hint="restart devtls serve")
            yield directory

    # -- files --------------------------------------------------------------------------------------------------------

    def _point(self, pointer: Pointer) -> None:
        # Before the removal: a crash in between leaves too much, never too little.
        replace_private_file(self._pointer_path, render_pointer(pointer))
        self._remove_generations(keep=pointer)

    def _remove_generations(self, *, keep: Pointer | None) -> None:
        kept = {entry.generation for entry in keep.entries} if keep else set()
        for directory in self.state_dir.iterdir():
            if GENERATION.match(directory.name) and directory.name not in kept:
                remove_generation(directory)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            ensure_private_directory(self.state_dir)
            with locked(self.state_dir / _LOCK):
                yield
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> StateError:
        return StateError(
            f"The state folder cannot be used: {error.strerror or error} ({error.filename or self.state_dir}).",
            path=str(self.state_dir),
            hint="check who owns the folder and whether the disk is full, or name another in DEVTLS_STATE_DIR",
        )


def _without(older: tuple[PointerEntry, ...], entry: PointerEntry) -> tuple[PointerEntry, ...]:
    return tuple(each for each in older if each.generation != entry.generation)
