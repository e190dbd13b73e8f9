"""The listing of a static route's directory: its forms, and what is not in it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from devtls.config import StaticTarget
from devtls.web.listing import ListedFile, read_entries, render_listing
from devtls.web.static_root import FileMissing, StaticRoot


@pytest.fixture
def site(tmp_path: Path) -> Path:
    site = tmp_path / "site"
    (site / "b").mkdir(parents=True)
    (site / "A.txt").write_bytes(b"x" * 2048)
    (site / "c d#?.txt").write_text("x")
    (site / ".env").write_text("secret")
    (site / "inside").symlink_to("A.txt")
    (site / "outside").symlink_to("..")
    (site / "nowhere").symlink_to("not-there")
    os.mkfifo(site / "pipe")
    return site


def entries(site: Path, *, dotfiles: bool = False) -> list[ListedFile]:
    target = StaticTarget(str(site), dotfiles=dotfiles, root=os.path.realpath(site))
    return read_entries(StaticRoot(target, []), ())


def test_it_shows_what_would_be_served_directories_first(site: Path) -> None:
    assert [entry.name for entry in entries(site)] == ["b", "A.txt", "c d#?.txt", "inside"]
    assert [entry.name for entry in entries(site, dotfiles=True)][1] == ".env"


def test_a_file_has_no_listing(site: Path) -> None:
    root = StaticRoot(StaticTarget(str(site), root=os.path.realpath(site)), [])
    with pytest.raises(FileMissing):
        read_entries(root, ("A.txt",))


def test_the_page_links_to_each_entry(site: Path) -> None:
    listed = render_listing("/", entries(site), b"text/html")
    page = listed.body.decode()
    assert '<a href="./b/">b/</a>' in page
    assert '<a href="./c%20d%23%3F.txt">c d#?.txt</a>' in page
    assert "2.0 KiB" in page
    assert "../" not in page
    assert "script-src" not in listed.policy
    assert '<a href="../">' in render_listing("/b/", (), b"text/html").body.decode()
    assert "This directory is empty." in render_listing("/", (), b"text/html").body.decode()


def test_names_are_escaped() -> None:
    odd = ListedFile('<img src=x>"&\u202e.txt', False, 1, "2026-01-02T03:04:05+00:00")
    page = render_listing("/<b>/", [odd], b"text/html").body.decode()
    assert "<img" not in page
    assert "<b>/" not in page
    assert "\u202e" not in page
    assert b"\x1b" not in render_listing("/", [ListedFile("\x1b[2J", False, 1, "")], b"*/*").body


def test_programs_get_json_and_terminals_lines(site: Path) -> None:
    listed = render_listing("/", entries(site), b"application/json")
    assert json.loads(listed.body)[1]["size"] == 2048
    assert render_listing("/", entries(site), b"*/*").body == b"b/\nA.txt\nc d#?.txt\ninside\n"


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1 << 20, "1.0 MiB"), (1 << 50, "1024.0 TiB")],
)
def test_sizes_are_in_words(size: int, words: str) -> None:
    page = render_listing("/", [ListedFile("a", False, size, "2026-01-02T03:04:05+00:00")], b"text/html").body.decode()
    assert f"<td>{words}</td>" in page
