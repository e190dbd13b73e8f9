"""What `devtls revoke` and `unrevoke` are about: certificates of the register, in files, in running proxies' memory.

Owns how SERIAL, NAME and FILE are understood there, and whose list each of them belongs on: after a renewal there are
several. Refuses serial numbers that this CA never gave out: a revocation of one says nothing to anybody.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import cached_property

import msgspec
from cryptography import x509

from devtls.cli import show_error
from devtls.cli.certificates.certificate_choice import certificate_in_file, chosen, is_intermediate, issuer_of
from devtls.errors import CertificateError, DevtlsError, Refused
from devtls.operations.control import RunningProxy
from devtls.pki.authority import Authority
from devtls.pki.ca_chain import common_name, permitted_names
from devtls.pki.leaf import PASSING
from devtls.pki.register import History, RecordedKind, joined, matches_serial, matching, plain_serial, serial_text
from devtls.system.storage.register import Register
from devtls.web.control_messages import LEAVES, LeavesAnswer, LeavesRequest

IN_MEMORY = "in the memory of devtls serve"
_LIST = "devtls certs list"
_SERIAL_DIGITS = range(39, 41)


class Target(msgspec.Struct, frozen=True):
    """One certificate; `place` is where it went, as far as that is known, `ca` the id of the CA that issued it.

    The names of an intermediate are its zones.
    """

    serial: str
    names: tuple[str, ...]
    place: str
    ca: str
    kind: RecordedKind | None = None
    """None = it was never recorded."""

    @property
    def of_root(self) -> bool:
        """Whether it stands on the root's list."""
        return self.kind == "intermediate"


class Desk(msgspec.Struct, frozen=True, dict=True):
    """What the commands look things up in; the register of the CA that signs is the first."""

    registers: tuple[Register, ...]
    running: Sequence[RunningProxy]
    now: datetime

    @cached_property
    def histories(self) -> tuple[History, ...]:
        """What each of the registers says, read once."""
        return tuple(register.history() for register in self.registers)

    @cached_property
    def history(self) -> History:
        """What all registers say."""
        return joined(self.histories)

    @cached_property
    def authorities(self) -> tuple[Authority, ...]:
        """Every CA of ours, the one that signs first."""
        return tuple(register.authority for register in self.registers)

    @cached_property
    def owners(self) -> dict[str, str]:
        """Serial number -> the id of the CA whose register holds it."""
        held = zip(self.authorities, self.histories, strict=True)
        return {serial: ca.id for ca, history in held for serial in (*history.revoked, *history.issued)}


def to_revoke(desk: Desk, wanted: str) -> tuple[Target, ...]:
    """Return what is meant, at least one: a name means everything that holds it and can still be revoked."""
    named = _by_name(desk, wanted)
    if named is None:
        return (_single(desk, wanted),)
    still = [one for one in named if desk.history.state(one.serial, desk.now) in ("valid", "on hold")]
    found = (*still, *_in_memory(desk, wanted))
    if not found:
        raise CertificateError(f"Nothing that is named {wanted} is left to revoke.", hint=f"{_LIST} --all")
    return found


def to_release(desk: Desk, wanted: str) -> tuple[Target, ...]:
    """Return what is meant, at least one: a name means everything that holds it and is on hold."""
    named = _by_name(desk, wanted)
    if named is None:
        return (_single(desk, wanted),)
    held = tuple(one for one in named if desk.history.state(one.serial, desk.now) == "on hold")
    if not held:
        raise CertificateError(f"Nothing that is named {wanted} is on hold.", hint=_LIST)
    return held


def _by_name(desk: Desk, wanted: str) -> tuple[Target, ...] | None:
    """Return the certificates of the registers that hold a name; None when `wanted` is a serial number or a file."""
    name = wanted.lower()
    found = [one for one in matching(desk.history, wanted) if one.kind != "intermediate"]
    named = tuple(
        Target(one.serial, one.names, one.place, desk.owners[one.serial], one.kind)
        for one in found
        if name in one.names
    )
    if named:
        return named
    if found or _passing(wanted) is not None or certificate_in_file(wanted, desk.authorities) is not None:
        return None
    bare = name.removeprefix("*.")
    return () if any(authority.permits(bare) for authority in desk.authorities) else None


def _single(desk: Desk, wanted: str) -> Target:
    certificate = certificate_in_file(wanted, desk.authorities)
    if certificate is not None:
        return _in_file(desk, certificate, wanted)
    serial = _unrecorded(desk.history, wanted) or _passing(wanted)
    if serial is not None:
        return Target(serial, (), IN_MEMORY, desk.owners.get(serial, desk.authorities[0].id))
    for authority in desk.authorities:
        if matches_serial(serial_text(authority.intermediate.certificate.serial_number), wanted):
            _refuse_own(authority.intermediate.certificate, authority)
    (one,) = chosen(desk.history, wanted, desk.authorities)
    return Target(one.serial, one.names, one.place, desk.owners[one.serial], one.kind)


def _in_file(desk: Desk, certificate: x509.Certificate, file: str) -> Target:
    issuer = issuer_of(certificate, desk.authorities) or desk.authorities[0]
    _refuse_own(certificate, issuer)
    serial = serial_text(certificate.serial_number)
    if is_intermediate(certificate, issuer):
        return Target(serial, permitted_names((certificate,)), file, issuer.id, "intermediate")
    recorded = desk.history.issued.get(serial)
    return Target(serial, _names_in(certificate), file, issuer.id, recorded.kind if recorded else None)


def _refuse_own(certificate: x509.Certificate, authority: Authority) -> None:
    """Raise Refused for what `authority` itself consists of."""
    if certificate in authority.path:
        raise Refused(
            f"{common_name(certificate)} is this machine's own CA: nothing that it signed would count any more.",
            hint="devtls ca renew, then devtls ca retire: another takes over, and this one is trusted no more",
        )


def _unrecorded(history: History, wanted: str) -> str | None:
    """Return the serial number of a leaf that was revoked and never recorded, if `wanted` is how it begins."""
    found = [serial for serial in history.revoked if matches_serial(serial, wanted) and serial not in history.issued]
    return found[0] if len(found) == 1 else None


def _passing(wanted: str) -> str | None:
    """Return the serial number of a leaf that was never recorded, if `wanted` is one in full."""
    text = plain_serial(wanted)
    if len(text) not in _SERIAL_DIGITS:
        return None
    try:
        number = int(text, 16)
    except ValueError:
        return None
    return serial_text(number) if PASSING <= number < 2 * PASSING else None


def _names_in(certificate: x509.Certificate) -> tuple[str, ...]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return tuple(str(name.value) for name in names)


def _in_memory(desk: Desk, name: str) -> Iterator[Target]:
    """Ask every proxy that runs under one of these CAs which leaves of that name it shows."""
    ids = {authority.fingerprint: authority.id for authority in desk.authorities}
    for one in desk.running:
        try:
            answer = one.ask(LEAVES, LeavesRequest(name=name.lower()), LeavesAnswer)
        except DevtlsError as error:
            show_error(error)
            continue
        if answer.sha256 in ids:
            for serial in answer.serials:
                yield Target(serial_text(int(serial, 16)), (name.lower(),), IN_MEMORY, ids[answer.sha256])
