"""Revocations: certificates of the register, in files and in the memory of running proxies, on the CRLs of their CAs.

Owns how a serial number, name or file is understood here, on whose CRL each certificate belongs (after a renewal there
are several), and who is told: CRL first, then every running proxy. Refuses serial numbers that this CA never issued,
and this machine's own CA. A running proxy that cannot be told reads the CRLs itself in a moment: that is reported, and
no failure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
from cryptography import x509

from devtls.errors import CertificateError, DevtlsError, Refused
from devtls.operations.ca_keys import open_root_key
from devtls.operations.certificate_lookup import CERTS_LIST, CertificateRegisters, is_intermediate, open_certificates
from devtls.operations.context import Context
from devtls.operations.control import RunningProxy, find_running
from devtls.pki.authority import Authority
from devtls.pki.ca_chain import common_name, permitted_names, signed_by
from devtls.pki.leaf import TRANSIENT, crl_url
from devtls.pki.register import (
    History,
    RecordedKind,
    RevocationReason,
    matches_serial,
    matching,
    plain_serial,
    serial_text,
)
from devtls.pki.revocation import crl_number, load_crl
from devtls.system.storage.register import Register
from devtls.web.control_messages import LEAVES, REVOKED, LeavesAnswer, LeavesRequest, RevokedRequest

if TYPE_CHECKING:
    from devtls.pki.signature import IssuerKey

IN_MEMORY = "in the memory of devtls serve"
"""The place of a certificate that was never written to a file."""

# Hex digits: a leaf that was minted in memory has bit 158 of its serial set (TRANSIENT).
_SERIAL_DIGITS = range(39, 41)


class RevocationTarget(msgspec.Struct, frozen=True):
    """One certificate; `place` is where it went, as far as that is known, `ca` the id of the CA that issued it.

    The names of an intermediate are its zones.
    """

    serial: str
    names: tuple[str, ...]
    place: str
    ca: str
    kind: RecordedKind | None = None
    """None = it was never recorded."""
    issuer: str = ""
    """The name of the intermediate that signed it, where the certificate itself tells it."""

    @property
    def of_root(self) -> bool:
        """Whether it is listed on the root's CRL."""
        return self.kind == "intermediate"


@dataclass(frozen=True, slots=True)
class RevocationPlan:
    """The certificates that would be revoked, or released when `reason` is None, and the running proxies to tell."""

    targets: tuple[RevocationTarget, ...]
    reason: RevocationReason | None
    registers: CertificateRegisters
    running: tuple[RunningProxy, ...]

    @property
    def of_root(self) -> bool:
        """Whether a root's CRL is concerned."""
        return any(target.of_root for target in self.targets)

    @property
    def concerned(self) -> tuple[Register, ...]:
        """The registers of the CAs that issued the targets."""
        ids = {target.ca for target in self.targets}
        return tuple(register for register in self.registers.registers if register.authority.id in ids)


class CrlAddress(msgspec.Struct, frozen=True):
    """A CRL as it is published now."""

    url: str
    number: int


@dataclass(frozen=True, slots=True)
class RevocationResult:
    """What was changed; `unlisted` are CAs that sign no CRL, `renewed_names` those that proxies show with a new key."""

    plan: RevocationPlan
    changed: frozenset[str]
    crls: tuple[CrlAddress, ...]
    unlisted: tuple[str, ...]
    renewed_names: tuple[str, ...]


def plan_revocation(context: Context, wanted: str, reason: RevocationReason) -> RevocationPlan:
    """Return the certificates with that serial number, name or file: a name means all that hold it and are not revoked.

    Raises CertificateError when there is none, Refused for a reason that does not fit.
    """
    registers, running = open_certificates(context), tuple(find_running(context.paths, context.reporter))
    named = _by_name(registers, wanted)
    if named is None:
        found: tuple[RevocationTarget, ...] = (_single(registers, wanted),)
    else:
        state = registers.history.state
        # Expired ones too are left out: a CRL need not list them (RFC 5280 3.3).
        still = [one for one in named if state(one.serial, context.now) in ("valid", "on hold")]
        found = (*still, *_in_memory(context, registers, running, wanted))
    if not found:
        raise CertificateError(f"Nothing that is named {wanted} is left to revoke.", hint=f"{CERTS_LIST} --all")
    # cACompromise speaks of a CA's key (RFC 5280 5.3.1), which no leaf has.
    if reason == "ca-compromise" and not all(one.of_root for one in found):
        raise Refused("ca-compromise is said of intermediates alone.", hint="--reason key-compromise")
    return RevocationPlan(found, reason, registers, running)


def plan_release(context: Context, wanted: str) -> RevocationPlan:
    """Return the certificates with that serial number, name or file: a name means all that hold it and are on hold.

    Raises CertificateError when there is none.
    """
    registers, running = open_certificates(context), tuple(find_running(context.paths, context.reporter))
    named = _by_name(registers, wanted)
    if named is None:
        return RevocationPlan((_single(registers, wanted),), None, registers, running)
    held = tuple(one for one in named if registers.history.state(one.serial, context.now) == "on hold")
    if not held:
        raise CertificateError(f"Nothing that is named {wanted} is on hold.", hint=CERTS_LIST)
    return RevocationPlan(held, None, registers, running)


def apply_revocation(context: Context, plan: RevocationPlan) -> RevocationResult:
    """Record the change, sign the CRLs and have the running proxies read them.

    Raises Refused where the root's key is not here or a release is of no hold, WrongPassphrase, StateError.
    """
    # The passphrase is asked for before the first register is written.
    root_key = _root_key(context, plan)
    changed: set[str] = set()
    for register in plan.concerned:
        serials = [one.serial for one in plan.targets if one.ca == register.authority.id]
        if plan.reason is None:
            changed.update(register.release(serials, context.now, root_key=root_key))
        else:
            issuers = {one.serial: one.issuer for one in plan.targets}
            changed.update(register.revoke(serials, plan.reason, context.now, root_key=root_key, issuers=issuers))
    # Without cRLSign in its key usage a CA's CRLs count for nobody (RFC 5280 4.2.1.3).
    listing = [register for register in plan.concerned if plan.of_root or register.authority.signs_crls]
    return RevocationResult(
        plan,
        frozenset(changed),
        tuple(address for register in listing for address in _published(register, plan)),
        tuple(register.authority.id for register in plan.concerned if register not in listing),
        # Last: a proxy that is told reads the CRLs, which are signed by now.
        _tell_running(context, plan.running),
    )


def _root_key(context: Context, plan: RevocationPlan) -> IssuerKey | None:
    """Return the root's key when an intermediate is revoked or released; None when no root has to sign."""
    of_root = {target.ca for target in plan.targets if target.of_root}
    for register in plan.concerned:
        if register.authority.id in of_root:
            encrypted = register.root_key_container()
            if encrypted is None:
                raise Refused(
                    "An intermediate is revoked on its root's CRL, and the key of devtls root "
                    f"{register.authority.id} is not here to sign one.",
                    hint="devtls ca renew, then devtls ca retire: the root that signed it is trusted no more",
                )
            return open_root_key(context, encrypted)
    return None


def _tell_running(context: Context, running: tuple[RunningProxy, ...]) -> tuple[str, ...]:
    """Have every running proxy read the CRLs; returns the names that it shows with another key from now on."""
    dropped: list[str] = []
    for proxy in running:
        try:
            dropped += proxy.send(REVOKED, RevokedRequest()).dropped
        except DevtlsError as error:
            context.reporter.error(error)
    return tuple(dropped)


def _published(register: Register, plan: RevocationPlan) -> Iterator[CrlAddress]:
    """Yield the CRLs on which the targets stand."""
    authority, history = register.authority, register.history()
    if plan.of_root:
        der = register.published_crl(of_root=True)
        yield CrlAddress(crl_url(authority.pki_port, authority.root_crl_path), crl_number(load_crl(der)))
        return
    serials = {target.serial for target in plan.targets if target.ca == authority.id}
    for issuer in authority.intermediates:
        if not serials.isdisjoint(authority.serials_of(issuer, history)):
            url = crl_url(authority.pki_port, authority.crl_path_of(issuer))
            yield CrlAddress(url, crl_number(load_crl(register.published_crl(issuer=issuer))))


def _by_name(registers: CertificateRegisters, wanted: str) -> tuple[RevocationTarget, ...] | None:
    """Return the recorded certificates that hold a name; None when `wanted` is a serial number or a file."""
    name = wanted.lower()
    # The names of an intermediate are zones: revoking `app.test` must not take a CA of zone `test` along.
    found = [one for one in matching(registers.history, wanted) if one.kind != "intermediate"]
    named = tuple(
        RevocationTarget(one.serial, one.names, one.place, registers.owners[one.serial], one.kind)
        for one in found
        if name in one.names
    )
    if named:
        return named
    if found or _unrecorded_leaf(wanted) is not None or registers.certificate_in(wanted) is not None:
        return None
    bare = name.removeprefix("*.")
    # A name of ours that is in no register may still be in a proxy's memory; another word is a serial number.
    return () if any(authority.permits(bare) for authority in registers.authorities) else None


def _single(registers: CertificateRegisters, wanted: str) -> RevocationTarget:
    certificate = registers.certificate_in(wanted)
    if certificate is not None:
        return _in_file(registers, certificate, wanted)
    # Revoked ones first: what minted them is gone, so only the register knows them.
    serial = _revoked_leaf(registers.history, wanted) or _unrecorded_leaf(wanted)
    if serial is not None:
        return RevocationTarget(serial, (), IN_MEMORY, registers.owners.get(serial, registers.authorities[0].id))
    for authority in registers.authorities:
        for own in authority.intermediates:
            if matches_serial(serial_text(own.certificate.serial_number), wanted):
                _refuse_own(own.certificate, authority)
    (one,) = registers.find(wanted)
    return RevocationTarget(one.serial, one.names, one.place, registers.owners[one.serial], one.kind)


def _in_file(registers: CertificateRegisters, certificate: x509.Certificate, file: str) -> RevocationTarget:
    issuer = registers.issuer_of(certificate) or registers.authorities[0]
    _refuse_own(certificate, issuer)
    serial = serial_text(certificate.serial_number)
    if is_intermediate(certificate, issuer):
        return RevocationTarget(serial, permitted_names((certificate,)), file, issuer.id, "intermediate")
    recorded = registers.history.issued.get(serial)
    signer = next((each.name for each in issuer.intermediates if signed_by(certificate, each.certificate)), "")
    kind = recorded.kind if recorded else None
    return RevocationTarget(serial, _names_in(certificate), file, issuer.id, kind, signer)


def _refuse_own(certificate: x509.Certificate, authority: Authority) -> None:
    """Raise Refused for the root and the intermediates of `authority` itself."""
    if certificate in authority.certificates:
        raise Refused(
            f"{common_name(certificate)} is this machine's own CA: nothing that it signed would be valid any more.",
            hint="devtls ca renew, then devtls ca retire: another takes over, and this one is trusted no more",
        )


def _revoked_leaf(history: History, wanted: str) -> str | None:
    """Return the serial number of a leaf that was revoked and never recorded, if `wanted` is how it begins."""
    found = [serial for serial in history.revoked if matches_serial(serial, wanted) and serial not in history.issued]
    return found[0] if len(found) == 1 else None


def _unrecorded_leaf(wanted: str) -> str | None:
    """Return the serial number of a leaf that was minted in memory, if `wanted` is one in full."""
    text = plain_serial(wanted)
    if len(text) not in _SERIAL_DIGITS:
        return None
    try:
        number = int(text, 16)
    except ValueError:
        return None
    # The mark tells that we minted it: nobody can fill the CRL with serial numbers of their own.
    return serial_text(number) if TRANSIENT <= number < 2 * TRANSIENT else None


def _names_in(certificate: x509.Certificate) -> tuple[str, ...]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return tuple(str(name.value) for name in names)


def _in_memory(
    context: Context, registers: CertificateRegisters, running: tuple[RunningProxy, ...], name: str
) -> Iterator[RevocationTarget]:
    """Ask every proxy that runs under one of these CAs which leaves of that name it shows."""
    ids = {authority.fingerprint: authority.id for authority in registers.authorities}
    for proxy in running:
        try:
            answer = proxy.ask(LEAVES, LeavesRequest(name=name.lower()), LeavesAnswer)
        except DevtlsError as error:
            context.reporter.error(error)
            continue
        # A proxy that runs under a CA that is not on disk (any more) mints what this CRL cannot revoke.
        if answer.sha256 in ids:
            for serial in answer.serials:
                yield RevocationTarget(serial_text(int(serial, 16)), (name.lower(),), IN_MEMORY, ids[answer.sha256])
