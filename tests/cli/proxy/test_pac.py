"""`devtls pac`: the address alone on stdout, the rest as talk, and a reason where there is none."""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from devtls.cli.group import main
from devtls.cli.proxy.pac import browser_settings, in_words
from devtls.errors import DevtlsError, ExitCode, NotRunning
from devtls.operations import proxies
from devtls.operations.control import RunningProxy
from devtls.system.control.unix_socket import ControlSocket
from devtls.web.control_messages import About

URL = "http://127.0.0.1:15354/proxy.pac"


class Told:
    """An answer to STATUS, as far as it counts here."""

    class serve:
        zones = ("dev.local",)


def run_with(monkeypatch: pytest.MonkeyPatch, *arguments: str, **facts: Any) -> None:
    about = About(version="1", pid=7, https_port=8443, config_file=None, **facts)
    found = [RunningProxy(ControlSocket(Path("control-7-0.sock"), 7), about)]
    monkeypatch.setattr(proxies, "find_running", lambda *_: found)
    monkeypatch.setattr(RunningProxy, "get", lambda *_: Told)
    assert main(["pac", *arguments]) == 0


def test_the_address_stands_alone_on_stdout(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_with(monkeypatch, pac_port=15354)
    said = capsys.readouterr()
    assert said.out == URL + "\n"
    assert f"--proxy-pac-url={URL}" in said.err
    assert "While devtls does not run, any user of this machine may open port 15354" in said.err
    run_with(monkeypatch, "--json", pac_port=15354)
    assert json.loads(capsys.readouterr().out) == {"format": 1, "url": URL, "port": 15354}


def test_the_file_itself_may_be_the_address(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run_with(monkeypatch, "--data", pac_port=15354)
    said = capsys.readouterr()
    kind, _, data = said.out.strip().partition(",")
    assert kind == "data:application/x-ns-proxy-autoconfig;base64"
    text = b64decode(data)
    assert b'"PROXY 127.0.0.1:15354"' in text
    assert "Give the browser a new one when" in said.err
    path = tmp_path / "my file.pac"
    for _ in range(2):
        run_with(monkeypatch, "--save", str(path), pac_port=15354)
        assert capsys.readouterr().out == path.as_uri() + "\n"
        assert path.read_bytes() == text
        assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(DevtlsError, match=r"x\.pac cannot be written"):
        run_with(monkeypatch, "--save", str(tmp_path / "none/x.pac"), pac_port=15354)
    assert main(["pac", "--data", "--save", str(path)]) == ExitCode.USAGE


def test_why_there_is_none_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DevtlsError, match="PAC port 15354 belongs to nginx"):
        run_with(monkeypatch, pac_trouble="PAC port 15354 belongs to nginx: devtls hands out no PAC file.")
    with pytest.raises(DevtlsError, match=r"devtls serve \(process 7\) hands out no PAC file\."):
        run_with(monkeypatch)
    monkeypatch.setattr(proxies, "find_running", lambda *_: [])
    with pytest.raises(NotRunning):
        main(["pac"])


@pytest.mark.parametrize(
    ("platform", "expected"),
    [
        ("linux", ["gsettings set org.gnome.system.proxy mode auto", "mode none", f"autoconfig-url '{URL}'"]),
        ("darwin", [f"networksetup -setautoproxyurl Wi-Fi {URL}", "networksetup -setautoproxystate Wi-Fi off"]),
        ("win32", [rf"\Internet Settings\" /v AutoConfigURL /d {URL} /f".replace('\\"', '"'), "reg delete"]),
    ],
)
def test_each_system_is_told_its_way_there_and_back(platform: str, expected: list[str]) -> None:
    text = "\n".join(in_words(browser_settings(15354, platform)))
    assert f'user_pref("network.proxy.autoconfig_url", "{URL}");' in text
    assert "curl --proxy http://127.0.0.1:15354 https://app.dev.local/" in text
    for part in expected:
        assert part in text
