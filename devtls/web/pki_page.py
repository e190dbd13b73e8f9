"""The page of the PKI endpoint: the root to download, and how each system is made to trust it.

Owns the words, as a page for browsers and as text for everybody else. Refuses to show anything that is not in the root
itself: whoever runs a program on this machine may read it. It has no script; which system's steps are open when it
appears is guessed from the User-Agent.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape

from devtls.http.answers.html import frame, marked, static_policy

_TEXT_WIDTH = 100
_COMMAND = re.compile("`[^`]* [^`]*`")


@dataclass(frozen=True, slots=True)
class RootCard:
    """What the page says of the root; `fingerprint` is its SHA-256 in lower-case hex."""

    name: str
    fingerprint: str
    zones: Sequence[str]
    until: datetime


@dataclass(frozen=True, slots=True)
class Download:
    """One file to download."""

    path: str
    kind: str
    use: str


OFFERS = (
    Download("/devtls-root.crt", "DER", "Android, Windows, macOS"),
    Download("/devtls-root.pem", "PEM", "Linux, Firefox, containers, tools"),
    Download("/devtls-root.mobileconfig", "profile", "iPhone, iPad, Mac"),
)


@dataclass(frozen=True, slots=True)
class _Guide:
    """The steps of one system, or ways to choose from; backticks mark code. `agent` recognises its browsers."""

    system: str
    agent: re.Pattern[str]
    steps: tuple[str, ...]
    choice: bool = False


_GUIDES = (
    _Guide(
        "iPhone and iPad",
        re.compile("iPhone|iPad|iPod"),
        (
            "Bring `devtls-root.mobileconfig` to the device, by AirDrop or mail, and open it there.",
            "Settings, General, VPN & Device Management: install the profile.",
            "Settings, General, About, Certificate Trust Settings: switch the root on. Until then nothing trusts it.",
        ),
    ),
    _Guide(
        "Android",
        re.compile("Android"),
        (
            "Bring `devtls-root.crt` to the device.",
            "Settings, Security & privacy, More, Encryption & credentials, Install a certificate, CA certificate: "
            "choose the file. (The words differ between makers; search the settings for CA certificate.)",
            "Chrome trusts it now. An app of your own does when its `network_security_config` names "
            '`<certificates src="user"/>`, best inside `debug-overrides`.',
            "Firefox: Settings, About, tap the logo five times; then Settings, Secret Settings, Use third party CA "
            "certificates.",
        ),
    ),
    _Guide(
        "macOS",
        # An iPad that asks for desktop sites says Macintosh, too; its own guide stays one click away.
        re.compile("Macintosh"),
        (
            "`security add-trusted-cert -r trustRoot -p ssl -p basic "
            "-k ~/Library/Keychains/login.keychain-db devtls-root.crt`",
            "Or double-click `devtls-root.crt`, and in Keychain Access, under Trust, choose Always Trust for SSL "
            "and for X.509 Basic Policy.",
        ),
        choice=True,
    ),
    _Guide(
        "Windows",
        re.compile("Windows"),
        (
            "Say yes to the warning of `certutil -user -addstore Root devtls-root.crt`",
            "Or double-click `devtls-root.crt`, Install Certificate, Current User, Place all certificates in "
            "the following store: Trusted Root Certification Authorities.",
        ),
        choice=True,
    ),
    _Guide(
        "Linux",
        # Android's User-Agent holds `Linux; Android`.
        re.compile("Linux(?!; Android)|X11|BSD"),
        (
            "Debian, Ubuntu: `sudo cp devtls-root.pem /usr/local/share/ca-certificates/devtls-root.crt "
            "&& sudo update-ca-certificates`",
            "Fedora, RHEL: `sudo cp devtls-root.pem /etc/pki/ca-trust/source/anchors/ && sudo update-ca-trust extract`",
            "Arch: `sudo trust anchor --store devtls-root.pem`",
            "Chromium and Chrome (with `~/.pki/nssdb` where that folder exists): "
            '`certutil -A -d sql:$HOME/.local/share/pki/nssdb -t C,, -n "devtls root" -i devtls-root.pem`',
        ),
        choice=True,
    ),
    _Guide(
        "Firefox",
        re.compile("Firefox"),
        (
            "On Windows and macOS it follows the system.",
            "Elsewhere: Settings, Privacy & Security, View Certificates, Authorities, Import `devtls-root.pem`, and "
            "tick Trust this CA to identify websites.",
        ),
        choice=True,
    ),
)

_HERE = "On the machine that runs devtls, `devtls trust` does all of this for you, and `devtls untrust` takes it back."
_ELSEWHERE = (
    "This page can be reached on that machine only. For a phone or another computer, take the file there, and compare "
    "the fingerprint: it must be the one above."
)

_STYLE = """
dl{margin:1.25rem 0;display:grid;grid-template-columns:auto 1fr;gap:.35rem 1.25rem}
dt{color:var(--soft)}
dd{margin:0;overflow-wrap:anywhere}
dd.print{overflow-wrap:normal;font:.85em/1.6 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
h2{margin:1.75rem 0 .5rem;font-size:1.05rem}
details{border-top:1px solid var(--line)}
details:last-of-type{border-bottom:1px solid var(--line)}
summary{padding:.65rem .1rem;cursor:pointer;font-weight:600}
ol{margin:0 0 1rem;padding-left:1.5rem}
ol li{display:list-item;padding:.25rem 0}
ol li+li{border:0}
ol.any{list-style:disc}
"""

POLICY = static_policy(_STYLE).decode()


def render_html(root: RootCard, agent: str) -> bytes:
    """Return the page; `agent` is the User-Agent of who asks."""
    files = "".join(
        f'<li><a href="{offer.path}">{offer.path.removeprefix("/")}</a><span>{escape(offer.use)}</span></li>'
        for offer in OFFERS
    )
    guides = "".join(_guide(guide, is_open=bool(guide.agent.search(agent))) for guide in _GUIDES)
    zones = ", ".join(root.zones)
    body = (
        f"<p>{marked('A certificate that makes a device trust the development sites of this machine.')}</p>"
        f"<ul>{files}</ul>"
        f"<dl><dt>Name</dt><dd>{escape(root.name)}</dd>"
        f"<dt>Speaks for</dt><dd>{escape(zones)}, names below them, and loopback addresses; for nothing else</dd>"
        f"<dt>Until</dt><dd>{root.until:%Y-%m-%d}</dd>"
        f'<dt>SHA-256</dt><dd class="print">{_colons(root.fingerprint).replace(":", ":<wbr>")}</dd></dl>'
        f'<p class="next">{marked(_HERE)}</p>'
        f"<h2>Other devices</h2><p>{marked(_ELSEWHERE)}</p>{guides}"
    )
    footer = "This page comes from devtls on this machine. Install a root only from somebody you trust: yourself."
    return frame("The root of your development CA", "CA", body, footer=footer, style=_STYLE)


def _guide(guide: _Guide, *, is_open: bool) -> str:
    steps = "".join(f"<li>{marked(step)}</li>" for step in guide.steps)
    kind = ' class="any"' if guide.choice else ""
    opened = " open" if is_open else ""
    return f"<details{opened}><summary>{escape(guide.system)}</summary><ol{kind}>{steps}</ol></details>"


def render_text(root: RootCard, base: str) -> str:
    """Return the same as text; `base` is the address of this endpoint."""
    lines = [
        "The root of your development CA",
        "",
        f"  Name        {root.name}",
        f"  Speaks for  {', '.join(root.zones)}, names below them, and loopback addresses; for nothing else",
        f"  Until       {root.until:%Y-%m-%d}",
        f"  SHA-256     {_colons(root.fingerprint)}",
        "",
        *(f"  {base + offer.path:<52}  {offer.use}" for offer in OFFERS),
        "",
        *textwrap.wrap(_plain(_HERE), _TEXT_WIDTH),
        *textwrap.wrap(_plain(_ELSEWHERE), _TEXT_WIDTH),
    ]
    for guide in _GUIDES:
        lines += ["", guide.system]
        lines += [line for step in guide.steps for line in _item(step)]
    return "\n".join(lines) + "\n"


def _item(step: str) -> list[str]:
    if _COMMAND.search(step):  # what is to be copied must not be broken in two
        return [f"  - {_plain(step)}"]
    return textwrap.wrap(_plain(step), _TEXT_WIDTH, initial_indent="  - ", subsequent_indent="    ")


def _plain(text: str) -> str:
    return text.replace("`", "")


def _colons(fingerprint: str) -> str:
    # As keychains and browsers show it, so that the two can be compared.
    return ":".join(fingerprint[at : at + 2] for at in range(0, len(fingerprint), 2)).upper()
