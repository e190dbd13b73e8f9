"""The port that a page dials for hot reload is found in the script, wherever the pieces are cut."""

from __future__ import annotations

from time import process_time

import pytest

from devtls.http.frameworks.advice import Names, Project, hint
from devtls.http.frameworks.hot_reload import VITE, WEBPACK, ReloadAddress, ScriptSearch, finding

FIFTH = (
    b'"./node_modules/webpack-dev-server/client/index.js?protocol=ws%3A&hostname=0.0.0.0&port=8080&pathname=%2Fws'
    b'&logging=info&overlay=true"'
)
SIXTH = (
    b"./node_modules/webpack-dev-middleware/client/index.js?url=%7B%22protocol%22%3A%22ws%3A%22%2C%22hostname%22%3A"
    b"%22127.0.0.1%22%2C%22port%22%3A24102%2C%22pathname%22%3A%22%2Fws%22%7D&transport=ws"
)
STORYBOOK = b'const socketProtocol = null || "ws";\nconst hmrPort = 6006;\n'


def found_in(*pieces: bytes) -> ReloadAddress | None:
    search = ScriptSearch()
    for piece in pieces:
        if search.found is None:
            search.feed(piece)
    return search.found


@pytest.mark.parametrize(
    ("script", "dialled"),
    [
        (FIFTH, ReloadAddress(WEBPACK, 8080, "/ws")),
        (SIXTH, ReloadAddress(WEBPACK, 24102, "/ws")),
        (SIXTH.replace(b"24102", b"%220%22"), ReloadAddress(WEBPACK, 0, "/ws")),
        (b"webpack-dev-middleware/client/index.js?url=%7B%22protocol%22%3A%22ws%3A%22%7D", ReloadAddress(WEBPACK, 0)),
        (STORYBOOK, ReloadAddress(VITE, 6006)),
        (b"const hmrPort = null;", ReloadAddress(VITE, 0)),
        (SIXTH.replace(b"24102", b"241020"), ReloadAddress(WEBPACK, 0, "/ws")),
        (b"/* webpack-dev-server's client */", None),
        (b"console.log('hello')", None),
    ],
)
def test_the_address_is_found(script: bytes, dialled: ReloadAddress | None) -> None:
    padded = b"x" * 3000 + script + b"\n" + b"y" * 3000
    assert found_in(padded) == dialled
    for place in range(3000, 3000 + len(script)):
        assert found_in(padded[:place], padded[place:]) == dialled


@pytest.mark.parametrize(
    "beginning",
    [b"webpack-dev-server/client/index.js?protocol=", b"webpack-dev-middleware/client/index.js?url=%7B"],
)
def test_a_script_that_only_begins_addresses_holds_up_nobody(beginning: bytes) -> None:
    began = process_time()
    assert found_in(beginning * 1500) is None
    assert process_time() - began < 0.5  # without bounds 2.5 s


@pytest.mark.parametrize(
    "script",
    [
        b"const hmrPort = " + b"1" * 5000 + b";",
        FIFTH.replace(b"8080", b"1" * 5000),
        FIFTH.replace(b"0.0.0.0", b"a" * 400),
    ],
)
def test_what_is_too_long_for_a_port_or_a_name_is_no_address(script: bytes) -> None:
    assert found_in(script) is None


def test_a_page_that_dials_the_proxy_or_its_own_port_is_no_finding() -> None:
    assert finding(ReloadAddress(WEBPACK, 0), 8443, "") is None
    assert finding(ReloadAddress(WEBPACK, 8443), 8443, "") is None


def test_the_advice_names_the_port_and_the_setting() -> None:
    names = Names("app.dev.local", 8443)
    found = finding(ReloadAddress(WEBPACK, 8080, "/ws"), 8443, "Express")
    assert found is not None
    made = hint(found, names, None)
    assert made is not None
    assert "dial port 8080 for hot reload (wss://app.dev.local:8080/ws)" in made.text
    assert 'devServer: { client: { webSocketURL: "auto://0.0.0.0:0/ws" } }' in made.text
    found = finding(ReloadAddress(VITE, 6006), 8443, "Storybook")
    assert found is not None
    made = hint(found, names, Project(frozenset({".storybook/main.ts"}), frozenset({"storybook", "vite"})))
    assert made is not None
    assert "Add to .storybook/main.ts: viteFinal: (config) =>" in made.text
    assert "clientPort: 8443" in made.text
