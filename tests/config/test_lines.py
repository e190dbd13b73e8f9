"""The line of a key is found wherever TOML lets it stand."""

from __future__ import annotations

from devtls.config.lines import dotted, find_line, key_lines, visible

TEXT = """\
# routes.app = 1
[serve]
https_port = 1   # [limits]

[ limits ]
 head_timeout_s= 2
[routes]
app = { target = 3000 }
"app/api" = 1
'*.app' = 2
[routes."a.b"]
target = 3
[[things]]
routes.x . y = 1
"""


def test_keys_and_headers_are_found() -> None:
    lines = key_lines(TEXT)
    assert lines[("serve",)] == 2
    assert lines[("serve", "https_port")] == 3
    assert lines[("limits", "head_timeout_s")] == 6
    assert lines[("routes",)] == 7
    assert lines[("routes", "app/api")] == 9
    assert lines[("routes", "*.app")] == 10
    assert lines[("routes", "a.b")] == 11
    assert lines[("routes", "a.b", "target")] == 12
    assert lines[("things", "routes", "x", "y")] == 14


def test_a_key_inside_an_inline_table_stands_where_the_table_stands() -> None:
    lines = key_lines(TEXT)
    assert find_line(lines, ("routes", "app", "target")) == 8
    assert find_line(lines, ("nowhere",)) == 0
    assert find_line(lines, ()) == 0


def test_keys_are_shown_as_they_would_be_written() -> None:
    assert dotted(("routes", "app/api", "target")) == 'routes."app/api".target'
    assert dotted(("a\x1b[2J",)) == '"a\\x1b[2J"'


def test_what_cannot_be_seen_is_escaped() -> None:
    assert visible("bücher\n\u202e") == "bücher\\n\\u202e"
