import base64
import hashlib
import html
import json
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devtls.http.answers.html import escape
from devtls.http.answers.layout import preferred_form
from devtls.http.answers.pages import (
    ERROR_HEADER,
    HANDSHAKE_FAILED,
    LocalResponse,
    RouteLine,
    bad_gateway,
    broken_response,
    connect_timeout,
    gateway_timeout,
    loop_detected,
    malformed,
    misdirected,
    no_such_file,
    not_found,
    outdated,
    overloaded,
    plain_http_help,
    redirect,
    refused,
)

BROWSER = b"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
ROUTES = [RouteLine("https://app.dev.local", "127.0.0.1:3000"), RouteLine("https://*.app.dev.local", "127.0.0.1:3000")]
EVIL = "<script>alert(1)</script>\"'&\x1b[31m\u202e"


def every(accept: bytes, text: str = "app.dev.local") -> list[LocalResponse]:
    return [
        not_found(text, [RouteLine(text, text), RouteLine("https://" + text, text)], accept),
        not_found(text, [], accept),
        bad_gateway(text, [(text, text)], True, accept),
        broken_response(text, text, text, accept),
        gateway_timeout(text, text, 600, accept),
        misdirected(text, text, 443, accept),
        loop_detected(text, accept),
        outdated(text, accept),
        refused(text, accept),
        malformed(400, text, accept),
        overloaded(text, 1, accept),
        plain_http_help(accept),
    ]


def field(answer: LocalResponse, name: bytes) -> bytes:
    values = [value for field_name, value in answer.headers if field_name == name]
    assert len(values) == 1
    return values[0]


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (BROWSER, "html"),
        (b"", "text"),
        (b"*/*", "text"),
        (b"application/json, text/plain, */*", "json"),
        (b"application/problem+json", "json"),
        (b"text/html;q=0.3, application/json", "json"),
        (b"TEXT/HTML ; Q=1.0", "html"),
        (b"text/html;q=0", "text"),
        (b"image/*, \xff, ;q=1", "text"),
        (b"text/html;level=1;q=nonsense", "html"),
        (b"text/*, application/json;q=0.5", "text"),
    ],
)
def test_the_form_follows_accept(accept: bytes, form: str) -> None:
    assert preferred_form(accept) == form


@pytest.mark.parametrize("accept", [BROWSER, b"application/json", b"*/*"])
def test_every_answer_is_complete_and_never_stored(accept: bytes) -> None:
    for answer in every(accept):
        assert field(answer, b"Content-Length") == b"%d" % len(answer.body)
        assert field(answer, b"Cache-Control") == b"no-store"
        assert field(answer, ERROR_HEADER)
        assert field(answer, b"X-Content-Type-Options") == b"nosniff"


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def tags(answer: LocalResponse) -> list[tuple[str, dict[str, str | None]]]:
    parser = _Tags()
    parser.feed(answer.body.decode())
    return parser.seen


def test_text_from_the_network_makes_no_markup() -> None:
    for kind, hostile in zip(every(BROWSER), every(BROWSER, EVIL), strict=True):
        assert b"alert(1)</" not in hostile.body
        assert {tag for tag, _ in tags(hostile)} <= {tag for tag, _ in tags(kind)}
        assert b"\x1b" not in hostile.body
        assert "\u202e" not in hostile.body.decode()


def test_text_from_the_network_cannot_act_on_a_terminal() -> None:
    for answer in [*every(b"*/*", EVIL), *every(b"application/json", EVIL)]:
        assert answer.body.decode().rstrip("\n").isprintable()


def test_a_page_loads_nothing_and_runs_only_its_own_script() -> None:
    for answer in every(BROWSER):
        page = answer.body.decode()
        policy = field(answer, b"Content-Security-Policy").decode()
        assert policy.startswith("default-src 'none'; ")
        for element in ("style", "script"):
            for source in re.findall(f"<{element}>(.*?)</{element}>", page, re.DOTALL):
                digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
                assert f"{element}-src 'sha256-{digest}'" in policy
        for tag, attributes in tags(answer):
            assert "src" not in attributes
            assert tag not in {"link", "img", "iframe", "form"}
            assert not any(name.startswith("on") or name == "style" for name in attributes)


def test_json_holds_the_facts() -> None:
    answer = bad_gateway("app.dev.local", [("127.0.0.1:3000", "connection refused")], True, b"application/json")
    assert json.loads(answer.body) == {
        "error": "upstream",
        "status": 502,
        "title": "app.dev.local is not up",
        "message": "devtls could not connect to the app:",
        "hint": "Start your app on port 3000.",
        "tried": [{"address": "127.0.0.1:3000", "error": "connection refused"}],
    }


def test_an_app_whose_certificate_was_refused_is_not_called_down() -> None:
    tried = [("[::1]:8443", "connection refused"), ("127.0.0.1:8443", f"{HANDSHAKE_FAILED}: self-signed certificate")]
    shown = json.loads(bad_gateway("https://localhost:8443", tried, True, b"application/json").body)
    assert shown["title"] == "https://localhost:8443 cannot be reached over TLS"
    assert 'ca = "ca.pem"' in shown["hint"] and "verify = false" in shown["hint"] and "Start" not in shown["hint"]


def test_others_get_one_line_that_says_what_to_do() -> None:
    answer = bad_gateway("app.dev.local", [("127.0.0.1:3000", "refused"), ("[::1]:3000", "refused")], True, b"*/*")
    assert answer.body.decode() == (
        "devtls: 502 app.dev.local is not up. devtls could not connect to the app: "
        "127.0.0.1:3000 (refused), [::1]:3000 (refused). Start your app on port 3000.\n"
    )


def test_a_line_without_a_hint_ends_with_its_message() -> None:
    assert malformed(400, "Bare LF in a field.").body == b"devtls: 400 Bad request. Bare LF in a field.\n"


@pytest.mark.parametrize("addresses", [["unix:/run/app.sock"], ["127.0.0.1:3000", "127.0.0.1:3001"], ["example"], []])
def test_without_one_port_the_hint_stays_general(addresses: list[str]) -> None:
    answer = bad_gateway("app", [(address, "refused") for address in addresses], False, b"")
    assert b"Start your app, or point the route at where it listens." in answer.body


def test_a_502_page_waits_for_the_app_only_when_it_may_ask_again() -> None:
    tried = [("127.0.0.1:3000", "connection refused")]
    waiting = bad_gateway("app", tried, True, BROWSER)
    assert b"<script>" in waiting.body
    assert b"<noscript><meta http-equiv" in waiting.body
    assert b"<script>" not in bad_gateway("app", tried, False, BROWSER).body
    assert field(waiting, ERROR_HEADER) == b"upstream"
    assert b'headers.get("Devtls-Error") !== "upstream"' in waiting.body


def test_the_route_list_links_what_can_be_opened() -> None:
    answer = not_found("other.dev.local", [*ROUTES, RouteLine("javascript:alert(1)", "x")], BROWSER)
    links = [attributes["href"] for tag, attributes in tags(answer) if tag == "a"]
    assert links == ["https://app.dev.local"]
    assert b"https://*.app.dev.local" in answer.body
    assert b"devtls add other 3000" in answer.body


def test_a_command_to_copy_holds_no_text_that_a_shell_would_run() -> None:
    assert b"`devtls add app 3000 --temporary`" in not_found("$(reboot).dev.local", [], b"").body


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_an_address_is_served_by_the_route_localhost(host: str) -> None:
    assert b"`devtls add localhost 3000 --temporary`" in not_found(host, [], b"").body


def test_an_outdated_connection_is_to_be_opened_anew() -> None:
    answer = outdated("app.dev.local", b"")
    assert (answer.status, field(answer, b"Devtls-Error")) == (421, b"misdirected")
    assert b"certificate that clients of `app.dev.local` have to show has changed" in answer.body


def test_the_way_of_a_pac_file_has_its_own_refusals() -> None:
    assert (refused("No.", b"").status, no_such_file("/proxy.pac").status) == (403, 404)
    assert b"/proxy.pac" in no_such_file("/proxy.pac").body


def test_a_missing_server_name_is_named() -> None:
    assert b"without a server name" in misdirected("app.dev.local", "", 443, b"").body
    assert misdirected("app.dev.local", "b.dev.local", 443, b"").status == 421


def test_a_request_without_a_host_is_told_so() -> None:
    """HTTP/1.0 knows no Host, and the connection's name is no substitute for it."""
    for sni, url in (("b.dev.local", b"https://b.dev.local:8443"), ("", b"https://localhost:8443")):
        answer = misdirected("", sni, 8443, b"")
        assert answer.status == 421
        assert b"The request has no Host, but its connection was opened" in answer.body
        assert b"Send the name in the Host field, as in " + url in answer.body


@pytest.mark.parametrize(
    ("host", "port", "url"),
    [
        ("app.dev.local", 443, b"Open https://app.dev.local itself"),
        ("app.dev.local", 8443, b"Open https://app.dev.local:8443 itself"),
        ("::1", 8443, b"Open https://[::1]:8443 itself"),
    ],
)
def test_a_misdirected_request_is_shown_the_address_with_our_port(host: str, port: int, url: bytes) -> None:
    assert url in misdirected(host, "b.dev.local", port, b"").body


def test_a_405_names_the_methods_that_would_do() -> None:
    """RFC 9110 15.5.6."""
    assert b"GET" in field(malformed(405, "TRACE is refused."), b"Allow")
    assert all(name != b"Allow" for name, _ in malformed(418, "x").headers)


def test_a_redirect_keeps_method_and_body_and_is_not_remembered() -> None:
    answer = redirect(b"https://app.dev.local:8443/x")
    assert answer.status == 307
    assert field(answer, b"Location") == b"https://app.dev.local:8443/x"
    assert field(answer, b"Cache-Control") == b"no-store"
    assert answer.body == b""


def test_the_plain_http_page_holds_no_data() -> None:
    assert plain_http_help(BROWSER) == plain_http_help(BROWSER)
    assert b"dev.local" not in plain_http_help(BROWSER).body


def test_a_request_without_a_host_has_a_404_too() -> None:
    assert b"No route for this request" in not_found("", ROUTES, b"").body


@given(st.text())
def test_text_is_escaped_as_the_standard_library_does(text: str) -> None:
    assert escape(text) == html.escape(text)


def test_a_limit_that_refused_an_answer_is_named_as_what_to_raise() -> None:
    answer = broken_response("app (devtls.toml:5)", "127.0.0.1:3000", "head over 256 KiB: max_response_head_bytes", b"")
    assert answer.body == (
        b"devtls: 502 app (devtls.toml:5) sent a broken answer. The app took the request, but its answer cannot be "
        b"passed on: 127.0.0.1:3000 (head over 256 KiB: max_response_head_bytes). "
        b"Raise `max_response_head_bytes` under `[limits]` in devtls.toml.\n"
    )
    assert b"Look at the app's log" in broken_response("app", "127.0.0.1:3000", "bad chunk size", b"").body


@pytest.mark.parametrize(("seconds", "said"), [(1, "1 second."), (1.5, "1.5 seconds."), (600, "600 seconds.")])
def test_one_second_is_singular(seconds: float, said: str) -> None:
    assert f"within {said}".encode() in gateway_timeout("app", "127.0.0.1:3000", seconds, b"").body
    tried = [("127.0.0.1:3000", "no answer")]
    said = said.removesuffix(".")
    assert f"tried for {said} to connect".encode() in connect_timeout("app", tried, seconds, b"").body
