from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devtls.system.changes.service.quoting import command_line, environment_lines, quote, read_command_line


@pytest.mark.parametrize(
    ("word", "quoted"),
    [
        ("/usr/bin/python3", "/usr/bin/python3"),
        ("/opt/my tools/python", '"/opt/my tools/python"'),
        ("/home/50%/python", '"/home/50%%/python"'),
        ('a"b\\c', '"a\\"b\\\\c"'),
        ("it's", '"it\'s"'),
        ("two\nlines", '"two\\nlines"'),
        ("", '""'),
        ("#;", '"#;"'),
    ],
)
def test_words_are_quoted_as_the_manual_says(word: str, quoted: str) -> None:
    assert quote(word) == quoted


def test_dollars_are_left_alone_by_a_prefix() -> None:
    assert command_line(["/home/$HOME/python", "${x}"]) == '":/home/$HOME/python" "${x}"'
    assert command_line(["/bin/x", "a b"]) == '/bin/x "a b"'


def test_variables_stand_one_a_line() -> None:
    assert environment_lines({"B": "x y%z", "A": "1"}) == ["Environment=A=1", 'Environment="B=x y%%z"']


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1), min_size=1))
def test_what_was_written_is_read_again(words: list[str]) -> None:
    argv = ["/" + words[0], *words[1:]]
    assert read_command_line(command_line(argv)) == tuple(argv)
