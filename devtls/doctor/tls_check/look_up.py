"""Asks the issuers of a path whether they took a certificate back.

Owns which addresses are asked: for each certificate below the root the first list and the first responder that give an
answer, at most two tried of each kind. Everything is asked at once.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial

from devtls.config.lines import visible
from devtls.doctor.tls_check.certificate import Certificate
from devtls.doctor.tls_check.fetch import Fetcher, NotFetched
from devtls.doctor.tls_check.path import Path
from devtls.doctor.tls_check.revocation import Revocation, Standing, build_ocsp_request, read_crl, read_ocsp, unusable

_MOST_TRIED = 2
_LONGEST_URL = 200


def look_up(path: Path, fetcher: Fetcher, now: datetime) -> tuple[Revocation, ...]:
    """Return what is known about each certificate of the path that names a list or a responder."""
    jobs: list[Callable[[], Revocation]] = []
    for certificate, issuer in path.links:
        by_list = partial(_ask_list, certificate, issuer, fetcher, now)
        by_responder = partial(_ask_responder, certificate, issuer, fetcher, now)
        jobs += [partial(_first, by_list, certificate.crl_urls)] if certificate.crl_urls else []
        jobs += [partial(_first, by_responder, certificate.ocsp_urls)] if certificate.ocsp_urls else []
    if not jobs:
        return ()
    with ThreadPoolExecutor(len(jobs)) as pool:
        return tuple(pool.map(lambda job: job(), jobs))


def _first(ask: Callable[[str], Revocation], urls: tuple[str, ...]) -> Revocation:
    tried: list[Revocation] = []
    for url in urls[:_MOST_TRIED]:
        tried.append(ask(url))
        if tried[-1].standing is not Standing.UNKNOWN:
            break
    return tried[-1]


def _ask_list(certificate: Certificate, issuer: Certificate, fetcher: Fetcher, now: datetime, url: str) -> Revocation:
    source = _shown(url)
    try:
        content = fetcher.fetch(url)
    except NotFetched as error:
        return unusable(certificate, "CRL", source, str(error))
    return read_crl(content, certificate, issuer, source, now)


def _ask_responder(
    certificate: Certificate, issuer: Certificate, fetcher: Fetcher, now: datetime, url: str
) -> Revocation:
    source = _shown(url)
    try:
        question = build_ocsp_request(certificate, issuer)
        content = fetcher.fetch(url, question, "application/ocsp-request")
    except NotFetched as error:
        return unusable(certificate, "OCSP", source, str(error))
    return read_ocsp(content, certificate, issuer, source, now)


def _shown(url: str) -> str:
    return visible(url[:_LONGEST_URL])
