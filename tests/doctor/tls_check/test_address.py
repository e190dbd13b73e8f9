from __future__ import annotations

from ipaddress import ip_address

import pytest

from devtls.doctor.tls_check.address import parse_address
from devtls.errors import InvalidAddress


@pytest.mark.parametrize(
    ("text", "host", "port", "url"),
    [
        ("app.dev.local", "app.dev.local", 443, "https://app.dev.local/"),
        ("https://app.dev.local", "app.dev.local", 443, "https://app.dev.local/"),
        ("HTTPS://App.Dev.Local:8443/a/b?c#d", "app.dev.local", 8443, "https://app.dev.local:8443/"),
        ("wss://app.test:8443/socket", "app.test", 8443, "https://app.test:8443/"),
        ("app.test:8443", "app.test", 8443, "https://app.test:8443/"),
        ("app.test.", "app.test", 443, "https://app.test/"),
        ("app.test?x:y", "app.test", 443, "https://app.test/"),
        (" localhost ", "localhost", 443, "https://localhost/"),
        ("bücher.test", "xn--bcher-kva.test", 443, "https://xn--bcher-kva.test/"),
        ("127.0.0.1:8443", ip_address("127.0.0.1"), 8443, "https://127.0.0.1:8443/"),
        ("[::1]:8443", ip_address("::1"), 8443, "https://[::1]:8443/"),
        ("https://[::1]/", ip_address("::1"), 443, "https://[::1]/"),
        ("::1", ip_address("::1"), 443, "https://[::1]/"),
        ("2001:db8::8443", ip_address("2001:db8::8443"), 443, "https://[2001:db8::8443]/"),
    ],
)
def test_every_spelling_that_people_use(text: str, host: object, port: int, url: str) -> None:
    address = parse_address(text)
    assert (address.host, address.port, address.url) == (host, port, url)
    assert address.is_ip is not isinstance(host, str)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("http://app.test:3000/x", "plain HTTP"),
        ("ws://app.test", "plain HTTP"),
        ("ftp://app.test", "no address that a browser opens with TLS"),
        ("", "cannot be empty"),
        ("https://", "cannot be empty"),
        ("app.test:", "no port from 1 to 65535"),
        ("app.test:0", "no port from 1 to 65535"),
        ("app.test:65536", "no port from 1 to 65535"),
        ("app.test:٣", "no port from 1 to 65535"),
        ("[::1]:x", "no port from 1 to 65535"),
        ("[app.test]", "no IPv6 address"),
        ("a:b:c", "no IPv6 address"),
        ("user:pass@app.test", "user name"),
        ("127.1", "no whole IPv4 address"),
        ("a+b.test", "not a host name"),
        ("app test", "not a host name"),
        ("\x1b[2J.test", "not a host name"),
        ("a" * 3000, "far too long"),
    ],
)
def test_what_is_refused_and_why(text: str, said: str) -> None:
    with pytest.raises(InvalidAddress) as caught:
        parse_address(text)
    assert said in str(caught.value)
    assert caught.value.hint
    assert str(caught.value).isprintable()


def test_http_is_answered_with_the_address_to_check() -> None:
    with pytest.raises(InvalidAddress) as caught:
        parse_address("http://app.test:3000/x")
    assert caught.value.hint == "devtls check https://app.test:3000"
