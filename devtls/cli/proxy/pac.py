"""`devtls pac`: the address of the PAC file, and where each browser wants to be told.

Owns the words. The address goes to stdout, alone, so that `--proxy-pac-url="$(devtls pac)"` works; the rest is talk.
Changes no setting: which browser is to follow the file is its user's choice.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from devtls.cli.terminal.output import print_json
from devtls.cli.terminal.reporter import TerminalReporter
from devtls.operations.proxies import pac_port
from devtls.system.machine.paths import Paths, refuse_sudo_for
from devtls.web.control_messages import FORMAT

_INTRODUCTION = """\

A browser that follows this file opens https://NAME for every name in your zones: without a line in /etc/hosts, without
port 443, without an administrator. Everything else goes where it always went. Names that end in localhost never take
this way: browsers know them.
"""


@click.command()
@click.option("--pid", type=int, metavar="N", help="Which one, when several run.")
@click.option("--json", "as_values", is_flag=True, help="Print it as JSON.")
def command(pid: int | None, as_values: bool) -> None:
    """Print the address of the PAC file that makes names resolve in browsers, and how each is told."""
    refuse_sudo_for("pac")
    port = pac_port(Paths.from_environment(), TerminalReporter(), pid)
    url = f"http://127.0.0.1:{port}/proxy.pac"
    if as_values:
        print_json({"format": FORMAT, "url": url, "port": port})
        return
    click.echo(url)
    click.echo(_INTRODUCTION, err=True)
    click.echo("\n".join(in_words(browser_settings(port, sys.platform))), err=True)


def browser_settings(port: int, platform: str) -> list[tuple[str, Sequence[str]]]:
    """Return (browser, its setting) for the browsers of a platform, as Python names it."""
    url = f"http://127.0.0.1:{port}/proxy.pac"
    return [
        ("Chrome, Edge", (f"--proxy-pac-url={url}", "as an argument, when no window of it is open yet")),
        (
            "Firefox",
            (
                "Settings, Network Settings, Automatic proxy configuration URL; or in user.js:",
                'user_pref("network.proxy.type", 2);',
                f'user_pref("network.proxy.autoconfig_url", "{url}");',
            ),
        ),
        _system_setting(url, platform),
        ("curl", (f"curl --proxy http://127.0.0.1:{port} https://app.dev.local/",)),
    ]


def _system_setting(url: str, platform: str) -> tuple[str, Sequence[str]]:
    match platform:
        case "darwin":
            on = f"networksetup -setautoproxyurl Wi-Fi {url}"
            return "macOS", (on, "and back: networksetup -setautoproxystate Wi-Fi off")
        case "win32":
            key = r'"HKCU\Software\Microsoft\Windows\CurrentVersion\Internet Settings" /v AutoConfigURL'
            return "Windows", (f"reg add {key} /d {url} /f", f"and back: reg delete {key} /f")
        case _:
            schema = "gsettings set org.gnome.system.proxy"
            return "GNOME", (f"{schema} autoconfig-url '{url}'", f"{schema} mode auto", f"and back: {schema} mode none")


def in_words(found: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """Return the lines that show `found`."""
    lines = []
    for who, (first, *others) in found:
        lines.append(f"  {who:<14}{first}")
        lines += [f"  {'':<14}{line}" for line in others]
    return lines
