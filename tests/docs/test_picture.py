"""The picture of a terminal: looks become spans, and what is drawn stands on its own."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from docs.generate.picture import IMAGES, PALETTES, Shot, Span, draw, spans

PLAIN: frozenset[str] = frozenset()
DRAWN = [f"terminal-{name}.svg" for name in PALETTES]


def words(svg: str) -> list[str]:
    """Return the lines of a picture."""
    lines = ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    return [" ".join("".join(line.itertext()).replace("\xa0", " ").split()) for line in lines]


def test_a_line_becomes_spans_of_one_look() -> None:
    assert spans("plain") == [Span(0, "plain", PLAIN)]
    assert spans("\x1b[32mgreen\x1b[0m and \x1b[1;33mboth\x1b[0m   ") == [
        Span(0, "green", frozenset({"32"})),
        Span(5, " and ", PLAIN),
        Span(10, "both", frozenset({"1", "33"})),
    ]
    assert spans("") == spans("   ") == []


def test_a_drawing_keeps_columns_and_escapes_markup() -> None:
    svg = draw([Shot("devtls x", ["a < b", "", "\x1b[32mgreen\x1b[0m"])], PALETTES["dark"])
    assert words(svg) == ["$devtls x", "a < b", "green"]
    assert f'fill="{PALETTES["dark"]["32"]}">green' in svg
    assert 'textLength="40"' in svg


@pytest.mark.parametrize("name", DRAWN)
def test_a_picture_needs_nothing_from_elsewhere(name: str) -> None:
    svg = (IMAGES / name).read_text()
    assert not re.search(r"href|url\(|@import|<script", svg)


def test_both_pictures_show_the_same() -> None:
    light, dark = (words((IMAGES / name).read_text()) for name in DRAWN)
    assert light == dark
    assert "A browser opens this address without a warning." in light
    assert "$devtls serve app=3000" in light
