"""Routes written into files that people keep: what is added, what stays, what is left alone."""

from __future__ import annotations

import pytest

from devtls.config import edit
from devtls.config.edit import NEW_FILE, ConfigText, Value, add_route, as_line, find_route, remove_route
from devtls.errors import ConfigError

TABLE = {"target": 5, "host": "upstream"}
LINE = '"*.x" = { target = 5, host = "upstream" }'


def written(text: str) -> ConfigText:
    return ConfigText(text.encode(), "devtls.toml", "/project")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", f"[routes]\n{LINE}\n"),
        ("[routes]", f"[routes]\n{LINE}\n"),
        ("[routes]\napp=1", f"[routes]\napp=1\n{LINE}\n"),
        (
            "[routes]\napp = 3000   # mine\n\n# about limits\n[limits]\nmax_fields=100\n",
            f"[routes]\napp = 3000   # mine\n{LINE}\n\n# about limits\n[limits]\nmax_fields=100\n",
        ),
        ("[serve]\nhttps_port = 1\n", f"[serve]\nhttps_port = 1\n\n[routes]\n{LINE}\n"),
        ("routes.app = 3 # x\n[limits]\n", f"routes.app = 3 # x\nroutes.{LINE}\n[limits]\n"),
        ("[routes.api]\ntarget = 3\n# c\n[limits]\n", f"[routes]\n{LINE}\n\n[routes.api]\ntarget = 3\n# c\n[limits]\n"),
        ("[routes]\r\napp = 3\r\n\r\n[limits]\r\n", f"[routes]\r\napp = 3\r\n{LINE}\r\n\r\n[limits]\r\n"),
        (NEW_FILE.decode(), f"{NEW_FILE.decode()}{LINE}\n"),
    ],
)
def test_a_route_is_added_behind_the_last_one_and_all_else_stays(before: str, after: str) -> None:
    assert add_route(written(before), "*.x", TABLE).decode() == after


@pytest.mark.parametrize(
    "before", ["[routes]\napp = 3000   # mine\n\n# about limits\n[limits]\n", "routes.app = 3\n", NEW_FILE.decode()]
)
def test_what_was_added_can_be_taken_out_to_the_byte(before: str) -> None:
    added = add_route(written(before), "*.x", TABLE)
    assert remove_route(written(added.decode()), "*.X") == before.encode()


def test_the_route_of_the_same_name_and_path_is_replaced_where_it_stands() -> None:
    before = '[routes]\napp = 3000   # mine\n"App/api/" = 1\nb = 2\n'
    assert add_route(written(before), "APP", 4000).decode() == before.replace("3000", "4000")
    assert add_route(written(before), "app/api", "unix:x").decode() == before.replace("= 1", '= "unix:x"')


def test_removing_takes_one_line() -> None:
    before = "[routes]\n# about a\na = 1\nb = 2 # gone\nc = 3\n"
    assert remove_route(written(before), "b") == before.replace("b = 2 # gone\n", "").encode()
    assert remove_route(written(before), "d") is None


def test_a_route_is_found_however_it_is_spelled() -> None:
    config = written('[routes]\n"App/api/" = 1\n').parse()
    found = find_route(config, "app/api")
    assert found is not None
    assert (found.key, find_route(config, "app")) == ("App/api/", None)


@pytest.mark.parametrize(
    ("text", "name", "value", "told"),
    [
        ("[routes]\napp = -1\n", "b", 1, "devtls.toml:2: routes.app: -1 is no port"),
        ("[routes]\n", "b b", 1, "is not a host name"),
        ("[routes]\n", "b", 0, "0 is no port"),
        ("[routes]\n", "b", {"target": 1, "hots": "keep"}, "no option 'hots'"),
        ("[routes]\n", "b", {"target": "10.0.0.1:1"}, "another machine"),
    ],
)
def test_what_serve_would_refuse_is_refused(text: str, name: str, value: Value, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        add_route(written(text), name, value)


def test_an_edit_that_goes_wrong_leaves_the_file_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a library makes of a strange spelling, the parser that counts has the last word."""

    def put_elsewhere(routes: dict[str, object], key: str, _: Value) -> None:
        routes[key] = 7

    monkeypatch.setattr(edit, "_append", put_elsewhere)
    with pytest.raises(ConfigError, match="a form that devtls does not edit") as caught:
        add_route(written("[routes]\na = 1\n"), "b", 2)
    assert "Change the line" in caught.value.hint

    def break_it(*_: object) -> None:
        raise KeyError("b")

    monkeypatch.setattr(edit, "_append", break_it)
    with pytest.raises(ConfigError, match="a form that devtls does not edit"):
        add_route(written("[routes]\na = 1\n"), "b", 2)


def test_a_line_is_shown_as_it_is_written() -> None:
    assert as_line("app", 3000) == "app = 3000"
    assert as_line("*.app", {"target": "h2c://127.0.0.1:5", "via": False}) == (
        '"*.app" = { target = "h2c://127.0.0.1:5", via = false }'
    )
