"""The CA's details, and its public parts."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from devtls.errors import NoAuthority
from devtls.names import DEFAULT_ZONES
from devtls.operations.ca import ca_details, export_ca
from devtls.operations.context import Context
from devtls.pki.apple_profile import apple_profile


def test_without_a_ca_there_is_nothing_to_show_or_export(context: Context) -> None:
    with pytest.raises(NoAuthority):
        ca_details(context)
    with pytest.raises(NoAuthority):
        export_ca(context, "root")


def test_details_name_the_files_and_the_earlier_cas(context: Context) -> None:
    old = context.keystore.create(DEFAULT_ZONES, context.now)
    details = ca_details(context)
    assert details.directory == context.keystore.directory_of(old)
    assert (details.authority.id, details.older, details.root_key_kept, details.locked) == (old.id, (), False, False)
    context.keystore.switch_to_next(context.keystore.prepare_next(DEFAULT_ZONES, context.now))
    assert [entry.root_id for entry in ca_details(context).older] == [old.id]


def test_each_public_part_is_exported(context: Context) -> None:
    authority = context.keystore.create(DEFAULT_ZONES, context.now)
    assert export_ca(context, "root") == authority.root_pem
    assert export_ca(context, "root", Encoding.DER) == authority.root_der
    assert export_ca(context, "intermediate") == authority.intermediate_pem
    assert x509.load_pem_x509_certificates(export_ca(context, "chain")) == list(authority.path)
    assert export_ca(context, "mobileconfig") == apple_profile(authority.root_der, authority.id)


def test_the_crls_of_every_ca_that_is_trusted_are_exported(context: Context) -> None:
    context.keystore.create(DEFAULT_ZONES, context.now)
    assert export_ca(context, "crl").count(b"BEGIN X509 CRL") == 3
    context.keystore.switch_to_next(context.keystore.prepare_next(DEFAULT_ZONES, context.now))
    assert export_ca(context, "crl").count(b"BEGIN X509 CRL") == 6
