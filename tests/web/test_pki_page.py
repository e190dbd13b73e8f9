"""The page and the text say the same, and nothing but what is in the root."""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import UTC, datetime

import pytest

from devtls.pki.apple_profile import apple_profile
from devtls.web.pki_page import OFFERS, POLICY, RootCard, render_html, render_text

CARD = RootCard("devtls root 01234567", "0a" * 32, ("dev.local", "test"), datetime(2036, 11, 20, tzinfo=UTC))
SYSTEMS = ["iPhone and iPad", "Android", "macOS", "Windows", "Linux", "Firefox"]
BASE = "http://127.0.0.1:20443"


def opened(agent: str) -> list[str]:
    return re.findall(r"<details open><summary>([^<]+)", render_html(CARD, agent).decode())


def test_the_facts_are_there() -> None:
    for shown in (render_html(CARD, "").decode().replace("<wbr>", ""), render_text(CARD, BASE)):
        for fact in ("devtls root 01234567", "dev.local, test, names below them", "2036-11-20", ":".join(["0A"] * 32)):
            assert fact in shown
        assert all(offer.path.removeprefix("/") in shown for offer in OFFERS)
        assert [name for name in SYSTEMS if name in shown] == SYSTEMS


@pytest.mark.parametrize(
    ("agent", "systems"),
    [
        ("", []),
        ("curl/8.0", []),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605 Safari/604", ["iPhone and iPad"]),
        ("Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537 Chrome/150", ["Android"]),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605 Safari/605", ["macOS"]),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537 Chrome/150", ["Windows"]),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0", ["Linux", "Firefox"]),
    ],
)
def test_the_steps_of_the_system_that_asks_are_open(agent: str, systems: list[str]) -> None:
    assert opened(agent) == systems


def test_the_policy_allows_the_pages_style_and_nothing_else() -> None:
    page = render_html(CARD, "").decode()
    styles = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() for style in styles]
    assert POLICY.startswith(f"default-src 'none'; style-src 'sha256-{hashes[0]}';")
    assert len(hashes) == 1
    assert "script" not in page
    assert " style=" not in page


def test_nothing_breaks_out_of_the_page() -> None:
    card = RootCard("<b>\x1b", "0a" * 32, ("<script>",), CARD.until)
    page = render_html(card, "<script>").decode()
    assert "<script>" not in page
    assert "<b>" not in page.replace("<b>devtls</b>", "")


def test_commands_stand_on_one_line_in_the_text() -> None:
    text = render_text(CARD, BASE)
    ends = ("ca-certificates/devtls-root.crt && sudo update-ca-certificates", "anchor --store devtls-root.pem")
    assert all(any(line.endswith(end) for line in text.splitlines()) for end in ends)
    assert f"  {BASE}/devtls-root.mobileconfig" in text
    assert "`" not in text


def test_the_profile_is_what_the_steps_are_about() -> None:
    """The trust switch is where the profile's own description says it is."""
    assert b"Certificate Trust Settings" in apple_profile(b"root", "01234567")
    assert "Certificate Trust Settings" in render_text(CARD, BASE)
