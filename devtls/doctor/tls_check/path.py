"""The certification path from a server's certificate to a root, proved by the signatures themselves (RFC 5280 6).

Owns the search and the ways in which it ends. Refuses to fetch what is missing: a browser that never saw an
intermediate has only what the server sent (some do fetch it; the answers say so). Strategy: depth first over all
certificates at hand; a trusted end inside its dates beats a trusted end, which beats any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from devtls.doctor.tls_check.certificate import Certificate

# Real chains have three or four; each step multiplies the search.
_DEEPEST = 8
_MOST_SIGNATURES = 200
"""A server may send many certificates of one name: each costs a signature check, and no real chain needs more."""


class PathEnd(Enum):
    """The end of a path, the best first."""

    ANCHORED = "anchored"
    UNTRUSTED_ROOT = "untrusted root"
    SELF_SIGNED = "self-signed"
    INCOMPLETE = "incomplete"
    OTHER_KEY = "other key"
    BAD_SIGNATURE = "bad signature"


_ORDER = list(PathEnd)


@dataclass(frozen=True, slots=True)
class CertificationPath:
    """Certificates from the server's own to the last that was found; every signature between them holds."""

    certificates: tuple[Certificate, ...]
    end: PathEnd

    @property
    def leaf(self) -> Certificate:
        """The server's own certificate."""
        return self.certificates[0]

    @property
    def last(self) -> Certificate:
        """The root, or the last certificate that was found."""
        return self.certificates[-1]

    @property
    def below_the_root(self) -> tuple[Certificate, ...]:
        """The certificates that a browser checks in full: not the root, which counts because somebody chose it."""
        ends_at_root = self.end in (PathEnd.ANCHORED, PathEnd.UNTRUSTED_ROOT) and len(self.certificates) > 1
        return self.certificates[:-1] if ends_at_root else self.certificates

    @property
    def links(self) -> Iterator[tuple[Certificate, Certificate]]:
        """Each certificate with its issuer's."""
        return zip(self.certificates, self.certificates[1:], strict=False)


@dataclass(slots=True)
class _Search:
    anchors: dict[str, Certificate]
    pool: Sequence[Certificate]
    left: int = _MOST_SIGNATURES

    def paths(self, chain: tuple[Certificate, ...]) -> Iterator[CertificationPath]:
        last = chain[-1]
        # First: a trusted certificate ends the path even where it is no root, as in browsers.
        if last.fingerprint in self.anchors:
            yield CertificationPath(chain, PathEnd.ANCHORED)
            return
        if last.self_signed:
            yield CertificationPath(chain, PathEnd.SELF_SIGNED if len(chain) == 1 else PathEnd.UNTRUSTED_ROOT)
            return
        # Not twice: two CAs that signed each other would lead in a circle.
        named = [each for each in self.pool if each.raw.subject == last.raw.issuer and each not in chain]
        signing = [each for each in named if len(chain) < _DEEPEST and self._signs(each, last)]
        for signer in signing:
            yield from self.paths((*chain, signer))
        if not signing:
            yield CertificationPath(chain, _stop(last, named))

    def _signs(self, signer: Certificate, signed: Certificate) -> bool:
        self.left -= 1
        return self.left >= 0 and signed.is_signed_by(signer)


def _stop(last: Certificate, named: Sequence[Certificate]) -> PathEnd:
    """Tell a signature that is wrong from one by a key that only has the name of one at hand."""
    candidates = [last, *named] if last.raw.subject == last.raw.issuer else named
    if not candidates:
        return PathEnd.INCOMPLETE
    meant = last.issuer_key_id
    # A key identifier tells which key was meant before any signature is tried (RFC 5280 section 4.2.1.1).
    if meant is not None and all(each.key_id not in (meant, None) for each in candidates):
        return PathEnd.OTHER_KEY
    return PathEnd.BAD_SIGNATURE


def find_path(
    sent: Sequence[Certificate], anchors: Sequence[Certificate], known: Sequence[Certificate], now: datetime
) -> CertificationPath:
    """Return the best path for the first of `sent`.

    `anchors` are trusted by somebody; `known` are certificates at hand that nobody trusts.
    """
    distinct = {each.fingerprint: each for each in (*anchors, *sent[1:], *known)}
    search = _Search({each.fingerprint: each for each in anchors}, tuple(distinct.values()))

    def rank(path: CertificationPath) -> tuple[int, bool, int]:
        in_date = all(each.valid_at(now) for each in path.certificates)
        return _ORDER.index(path.end), not in_date, -len(path.certificates)

    return min(search.paths((sent[0],)), key=rank)
