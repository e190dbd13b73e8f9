"""The root of a static route: what is opened, and above all what is not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from devtls.config import StaticTarget
from devtls.web import static_root
from devtls.web.static_root import Absence, FileMissing, StaticRoot


@pytest.fixture(params=["by descriptor", "by path"])
def by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to open: relative to a directory's descriptor, and by whole paths where the system has only those."""
    monkeypatch.setattr(static_root, "_HAS_DIR_FD", request.param == "by descriptor")
    return str(request.param)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    (tmp_path / "state/key").write_text("secret")
    return tmp_path / "state"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "project/site/sub").mkdir(parents=True)
    (tmp_path / "project/site/page").write_text("page")
    (tmp_path / "project/site/sub/page").write_text("sub page")
    return tmp_path / "project/site"


def make_root(site: Path, state: Path) -> StaticRoot:
    return StaticRoot(StaticTarget(str(site), root=os.path.realpath(site)), [state, state / "not made yet"])


def read(root: StaticRoot, path: str) -> str:
    descriptor = root.open(tuple(path.split("/")))
    with os.fdopen(descriptor) as file:
        return file.read()


def absence(root: StaticRoot, path: str) -> Absence:
    with pytest.raises(FileMissing) as missing:
        read(root, path)
    return missing.value.absence


@pytest.mark.usefixtures("by")
def test_a_root_that_becomes_a_link_is_not_followed(site: Path, state: Path) -> None:
    root = make_root(site, state)
    assert read(root, "page") == "page"
    site.rename(site.parent / "old")
    site.symlink_to(state)
    assert absence(root, "key") is Absence.ROOT_MOVED


@pytest.mark.usefixtures("by")
def test_a_directory_above_the_root_that_becomes_a_link_is_not_followed(site: Path, state: Path) -> None:
    root = make_root(site, state)
    site.parent.rename(site.parent.parent / "old")
    (state / "site").mkdir()
    (state / "site/page").write_text("secret")
    site.parent.symlink_to(state)
    assert absence(root, "page") is Absence.ROOT_MOVED


@pytest.mark.usefixtures("by")
def test_a_root_that_is_removed_and_made_anew_is_served_again(site: Path, state: Path) -> None:
    root = make_root(site, state)
    site.rename(site.parent / "old")
    assert absence(root, "page") is Absence.NO_ROOT
    site.write_text("a file in its place")
    assert absence(root, "page") is Absence.NO_ROOT
    site.unlink()
    site.mkdir()
    (site / "page").write_text("new page")
    assert read(root, "page") == "new page"


@pytest.mark.usefixtures("by")
def test_the_root_may_have_been_a_link_when_it_was_permitted(site: Path, state: Path) -> None:
    link = site.parent / "dist"
    link.symlink_to("site")
    root = make_root(link, state)
    assert read(root, "page") == "page"
    link.unlink()
    link.symlink_to(state)
    # What was permitted is served still, and nothing else.
    assert read(root, "page") == "page"
    assert absence(root, "key") is Absence.NO_FILE


@pytest.mark.usefixtures("by")
@pytest.mark.parametrize("target", ["sub/page", "../site/sub/page", "sub/../sub/page", "{site}/sub/page"])
def test_links_that_end_in_the_root_are_followed(site: Path, state: Path, target: str) -> None:
    (site / "link").symlink_to(target.format(site=site))
    assert read(make_root(site, state), "link") == "sub page"


@pytest.mark.usefixtures("by")
@pytest.mark.parametrize("target", ["../../state/key", "{state}/key", "link", "nowhere"])
def test_links_that_end_elsewhere_are_not(site: Path, state: Path, target: str) -> None:
    (site / "link").symlink_to(target.format(state=state))
    assert absence(make_root(site, state), "link") is Absence.NO_FILE


@pytest.mark.usefixtures("by")
def test_a_link_that_is_swapped_after_it_was_resolved_leads_nowhere(
    site: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_root(site, state)
    resolve = root.resolve

    def swap(segments: tuple[str, ...]) -> tuple[str, ...]:
        inside = resolve(segments)
        (site / "page").unlink()
        (site / "page").symlink_to(state / "key")
        return inside

    monkeypatch.setattr(root, "resolve", swap)
    assert absence(root, "page") is Absence.NO_FILE


def test_a_directory_that_is_swapped_after_it_was_resolved_leads_nowhere(
    site: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_root(site, state)
    resolve = root.resolve

    def swap(segments: tuple[str, ...]) -> tuple[str, ...]:
        inside = resolve(segments)
        (state / "page").write_text("secret")
        (site / "sub").rename(site / "old")
        (site / "sub").symlink_to(state)
        return inside

    monkeypatch.setattr(root, "resolve", swap)
    assert absence(root, "sub/page") is Absence.NO_FILE


@pytest.mark.usefixtures("by")
@pytest.mark.parametrize("place", ["project/site", "project", "project/site/sub"])
def test_our_own_directories_are_never_served_however_they_got_there(tmp_path: Path, site: Path, place: str) -> None:
    """Moved into the way, the CA's directory has another path, and the same device and inode."""
    state = tmp_path / place
    if place == "project":
        (site / "key").write_text("secret")
    root = StaticRoot(StaticTarget(str(site), root=os.path.realpath(site)), [state])
    assert absence(root, "sub/page") is Absence.NO_FILE


@pytest.mark.usefixtures("by")
def test_pipes_and_sockets_are_no_files(site: Path, state: Path) -> None:
    os.mkfifo(site / "pipe")
    assert absence(make_root(site, state), "pipe") is Absence.NO_FILE


def test_no_descriptor_is_left_open(site: Path, state: Path) -> None:
    root = make_root(site, state)
    (site / "out").symlink_to(state)
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0  # noqa: PTH208 - only counted
    for path in ("page", "sub/page", "nothing", "out/key", ".git", "sub/nothing/more"):
        try:
            os.close(root.open(tuple(path.split("/"))))
        except FileMissing:
            continue
    after = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0  # noqa: PTH208
    assert before == after
