"""What every request goes through: directory, nonces, signatures, addresses (RFC 8555 6)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from josepy.jwa import ES384, HS256, RS256
from josepy.jwk import JWKEC, JWKRSA

from devtls.acme.messages import AcmeRequest
from tests.acme.client import (
    BASE,
    EC_KEY,
    HOST,
    OTHER_KEY,
    RSA_KEY,
    Client,
    World,
    b64,
    content,
    flattened,
    header,
    path_of,
    problem,
    public,
    registered,
)


def test_the_directory_names_every_resource_under_the_address_that_was_asked() -> None:
    response = World().get("/directory")
    assert (response.status, response.content_type) == (200, "application/json")
    found = content(response)
    assert found.pop("meta") == {"externalAccountRequired": False}
    assert set(found) == {"newNonce", "newAccount", "newOrder", "revokeCert", "keyChange", "renewalInfo"}
    assert all(url.startswith(f"{BASE}/") for url in found.values())


def test_a_browser_is_told_what_this_is() -> None:
    response = World().get("/")
    assert (response.status, response.content_type) == (200, "text/plain")
    assert f"{BASE}/directory".encode() in response.body


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204)])
def test_a_nonce_is_new_each_time_and_never_cached(method: str, status: int) -> None:
    world = World()
    one, two = world.get("/new-nonce", method), world.get("/new-nonce", method)
    assert (one.status, two.status) == (status, status)
    assert header(one, "Cache-Control") == "no-store"
    assert header(one, "Link") == f'<{BASE}/directory>;rel="index"'
    assert len({header(one, "Replay-Nonce"), header(two, "Replay-Nonce"), ""}) == 3


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/directory", 405),
        ("POST", "/new-nonce", 405),
        ("GET", "/new-account", 405),
        ("GET", "/order/x", 405),
        ("GET", "/nothing", 404),
        ("GET", "/nothing/here", 404),
        ("GET", "/order", 404),
    ],
)
def test_other_paths_and_methods_are_refused(method: str, path: str, status: int) -> None:
    assert problem(World().get(path, method)) == (status, "malformed")


def test_a_nonce_counts_once() -> None:
    world = World()
    nonce = world.nonce()
    assert Client(world).ask("/new-account", {}, nonce=nonce).status == 201
    again = Client(world).ask("/new-account", {}, nonce=nonce)
    assert problem(again) == (400, "badNonce")
    # The answer brings the nonce for the next try, as every answer to POST does.
    assert Client(world).ask("/new-account", {}, nonce=header(again, "Replay-Nonce")).status == 200
    assert problem(Client(world).ask("/new-account", {}, nonce=None)) == (400, "badNonce")
    assert problem(Client(world).ask("/new-account", {}, nonce="AAAA")) == (400, "badNonce")


def test_the_oldest_nonce_is_forgotten_first() -> None:
    world = World()
    first, second = world.nonce(), world.nonce()
    for _ in range(4096 - 1):
        world.nonce()
    assert problem(Client(world).ask("/new-account", {}, nonce=first)) == (400, "badNonce")
    assert Client(world).ask("/new-account", {}, nonce=second).status == 400


def test_a_request_for_another_address_does_not_count() -> None:
    world = World()
    for url in ("https://other.test/new-account", f"{BASE}/new-order", f"{BASE}/new-account?"):
        assert problem(Client(world).ask("/new-account", {}, url=url)) == (403, "unauthorized")


def test_only_signed_requests_of_the_right_type_are_read() -> None:
    client = Client(World())
    signed = json.dumps(flattened({}, b"{}", EC_KEY.key)).encode()
    assert problem(client.raw("/new-account", signed, "application/json").response or pytest.fail()) == (
        415,
        "malformed",
    )
    typed = client.raw("/new-account", b"no json", "Application/JOSE+json; charset=utf-8").response
    assert problem(typed or pytest.fail()) == (400, "malformed")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"protected":"e30","payload":"","signature":""}',  # neither alg nor url
        b'{"protected":"!","payload":"","signature":""}',
        b'{"protected":"AAAAA","payload":"","signature":""}',  # a length that base64 never has
        b'{"protected":"/w","payload":"","signature":""}',  # the alphabet of the other base64
        b'{"protected":"_w","payload":"","signature":""}',  # no UTF-8
        b'{"protected":"e30","payload":"","signature":"","header":{"alg":"ES256"}}',
        b'{"payload":"","signatures":[]}',
    ],
)
def test_what_is_no_flattened_jws_is_refused(body: bytes) -> None:
    response = Client(World()).raw("/new-account", body).response
    assert response is not None
    assert problem(response) == (400, "malformed")
    assert header(response, "Replay-Nonce")


@pytest.mark.parametrize(
    "changes",
    [
        {"crit": ["b64"]},
        {"kid": f"{BASE}/account/x"},  # as well as jwk
        {"jwk": None},
        {"jwk": None, "kid": f"{BASE}/account/x"},  # nobody has an account before there is one
    ],
)
def test_a_header_that_says_too_much_or_too_little_is_refused(changes: dict[str, Any]) -> None:
    assert problem(Client(World()).ask("/new-account", {}, **changes)) == (400, "malformed")


def test_a_signature_must_be_the_keys() -> None:
    client = Client(World())
    assert problem(client.ask("/new-account", {}, jwk=public(OTHER_KEY))) == (400, "malformed")
    assert problem(client.ask("/new-account", {}, alg="ES384")) == (400, "malformed")  # another curve's
    assert problem(client.ask("/new-account", {}, alg="RS256")) == (400, "malformed")  # another kind's


@pytest.mark.parametrize("algorithm", ["none", "HS256", "PS256", "EdDSA", ""])
def test_other_algorithms_are_refused_with_those_that_are_there(algorithm: str) -> None:
    response = Client(World()).ask("/new-account", {}, alg=algorithm)
    assert problem(response) == (400, "badSignatureAlgorithm")
    assert content(response)["algorithms"] == ["ES256", "ES384", "ES512", "RS256"]


def test_a_mac_with_the_public_key_is_no_signature() -> None:
    world = World()
    head = {"alg": "HS256", "nonce": world.nonce(), "url": f"{BASE}/new-account", "jwk": public(EC_KEY)}
    body = json.dumps(flattened(head, b"{}", json.dumps(public(EC_KEY)).encode(), HS256)).encode()
    response = Client(world).raw("/new-account", body).response
    assert problem(response or pytest.fail()) == (400, "badSignatureAlgorithm")


@pytest.mark.parametrize(
    ("key", "algorithm", "name"),
    [
        (JWKRSA(key=RSA_KEY), RS256, "RS256"),
        (JWKEC(key=ec.derive_private_key(5, ec.SECP384R1())), ES384, "ES384"),
    ],
)
def test_rsa_and_other_curves_sign_as_well(key: Any, algorithm: Any, name: str) -> None:
    world = World()
    head = {"alg": name, "nonce": world.nonce(), "url": f"{BASE}/new-account", "jwk": public(key)}
    response = (
        Client(world).raw("/new-account", json.dumps(flattened(head, b"{}", key.key, algorithm)).encode()).response
    )
    assert response is not None and response.status == 201


@pytest.mark.parametrize(
    "jwk",
    [
        {},
        {"kty": "oct", "k": "AAAA"},
        {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"},
        {"kty": "RSA", "n": "AQAB"},
        {"kty": "RSA", "n": 5, "e": "AQAB"},
        {"kty": "EC", "crv": "P-256", "x": b64(bytes(32)), "y": b64(bytes(32))},  # on no curve
        {"kty": "EC", "crv": "secp256k1", "x": b64(bytes(32)), "y": b64(bytes(32))},
        dict(EC_KEY.to_json()),  # with its private half
        public(JWKRSA(key=rsa.RSAPublicNumbers(65537, (1 << 1023) + 1).public_key())),
    ],
)
def test_weak_and_odd_keys_are_refused(jwk: dict[str, Any]) -> None:
    assert problem(Client(World()).ask("/new-account", {}, jwk=jwk)) == (400, "badPublicKey")


def test_an_account_is_named_by_its_address_whatever_port_it_was_given_out_at() -> None:
    client = registered()
    assert client.ask("/new-order", {}, kid=client.account.replace(HOST, f"{HOST}:8443")).status == 400
    for kid in ("nobody", f"{BASE}/account/nobody", f"{BASE}/order/x", "https://[", client.account.rpartition("/")[2]):
        assert problem(client.ask("/new-order", {}, kid=kid)) == (400, "accountDoesNotExist")
    assert problem(client.ask("/new-order", {}, kid=None, jwk=public(EC_KEY))) == (400, "malformed")


def test_every_answer_to_post_names_the_directory() -> None:
    client = Client(World())
    response = client.register()
    links = [value for name, value in response.headers if name == "Link"]
    assert links == [f'<{BASE}/directory>;rel="index"']
    assert header(client.ask(path_of(client.account)), "Cache-Control") == "no-store"


def test_head_is_answered_like_get() -> None:
    world = World()
    assert world.send(AcmeRequest("HEAD", "/directory", HOST)).response == world.get("/directory")
