"""`devtls pac`: the address of the PAC file, and where each browser wants to be told.

Owns the words, and the copy of the file that `--save` writes. The address goes to stdout, alone, so that
`--proxy-pac-url="$(devtls pac)"` works; the rest is talk. Changes no setting: which browser is to follow the file is
its user's choice.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from devtls.cli.terminal.output import print_json
from devtls.cli.terminal.reporter import TerminalReporter
from devtls.errors import DevtlsError
from devtls.operations.proxies import pac_file
from devtls.system.machine.paths import Paths, refuse_sudo_for
from devtls.system.machine.private_files import replace_private_file
from devtls.web.control_messages import FORMAT

_INTRODUCTION = """\

A browser that follows this file opens https://NAME for every name in your zones: without a line in /etc/hosts, without
port 443, without an administrator. Everything else goes where it always went. Names that end in localhost never take
this way: browsers know them.
"""
_WHILE_DOWN = """
While devtls does not run, any user of this machine may open port {port} and hand your browser another file, which leads
all its traffic to them. devtls service install has systemd or launchd hold the port; devtls pac --data (Chrome, Edge,
Firefox) and --save FILE (Firefox) give an address that asks nobody: then they get requests for your zones alone, and
have no certificate for https.
"""
_FIXED = """
This is the file as it is now: it leads your zones, and nothing else, to port {port}. Give the browser a new one when
the zones or the port change. While devtls does not run, any user of this machine may open that port and get what the
browser sends there: requests with http:// they can answer, for https they have no certificate.
"""


@click.command()
@click.option("--pid", type=int, metavar="N", help="Which one, when several run.")
@click.option("--data", is_flag=True, help="Print the file itself as a data: address, which asks no port.")
@click.option("--save", metavar="FILE", type=click.Path(path_type=Path), help="Write it to FILE, print that address.")
@click.option("--json", "as_values", is_flag=True, help="Print it as JSON.")
def command(pid: int | None, data: bool, save: Path | None, as_values: bool) -> None:
    """Print the address of the PAC file that makes names resolve in browsers, and how each is told."""
    refuse_sudo_for("pac")
    if data and save is not None:
        raise click.UsageError("--data and --save are two ways to say the same: take one.")
    found = pac_file(Paths.from_environment(), TerminalReporter(), pid)
    if save is not None:
        write_pac_file(save.absolute(), found.text)
    url = found.data_url if data else found.url if save is None else save.absolute().as_uri()
    if as_values:
        print_json({"format": FORMAT, "url": url, "port": found.port})
        return
    click.echo(url)
    if data or save is not None:
        click.echo(_FIXED.format(port=found.port).rstrip(), err=True)
        return
    click.echo(_INTRODUCTION, err=True)
    click.echo("\n".join(in_words(browser_settings(found.port, sys.platform))), err=True)
    click.echo(_WHILE_DOWN.format(port=found.port).rstrip(), err=True)


def write_pac_file(path: Path, text: bytes) -> None:
    """Write the file, readable for this user alone: nobody else may change where a browser goes. Raises DevtlsError."""
    try:
        replace_private_file(path, text)
    except OSError as error:
        raise DevtlsError(f"{path} cannot be written: {error.strerror or error}.") from error


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
