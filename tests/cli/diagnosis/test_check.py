"""`devtls check` as a person and a program read it: lines, marks, JSON, exit codes."""

from __future__ import annotations

import io
import json
import re
import socket
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from devtls.cli.diagnosis.check import command
from devtls.cli.group import main
from devtls.errors import ExitCode, InvalidAddress, NoConnection
from tests.doctor.tls_check.pki import DAY, NOW, Issued, LeafSpec, make_root, self_signed, showing

DOCS = Path(__file__).parents[3] / "docs"
NAME = "app.check.test"


@pytest.fixture(autouse=True)
def no_browsers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("devtls.system.changes.truststore.nss_profiles._CHROMIUMS", ())


@pytest.fixture
def root() -> Issued:
    return make_root()


@pytest.fixture
def ca(root: Issued, tmp_path: Path) -> Path:
    file = tmp_path / "root.pem"
    file.write_bytes(root.pem)
    return file


def run(*argv: str, columns: int = 100) -> Result:
    return CliRunner().invoke(
        command, argv, catch_exceptions=False, standalone_mode=False, env={"COLUMNS": str(columns)}
    )


def words(text: str) -> str:
    return " ".join(text.split())


def test_a_good_server_ends_with_0(root: Issued, ca: Path, tmp_path: Path) -> None:
    with showing(tmp_path, root.issue(LeafSpec())) as port:
        result = run(f"https://{NAME}:{port}/some/page?x", "--connect", "127.0.0.1", "--ca", str(ca))
    assert result.return_value is ExitCode.OK
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"{NAME}, port {port}, at 127.0.0.1: TLS 1.3, TLS_")
    assert [line[:15].rstrip() for line in lines if line.startswith("  ✓")] == [
        "  ✓ Issuer",
        "  ✓ Dates",
        "  ✓ Name",
        "  ✓ Signatures",
        "  ✓ Verifiers",
    ]
    assert lines[-1] == "A browser opens this address without a warning."
    assert "\x1b" not in result.stdout


def test_a_bad_server_ends_with_1_and_says_what_to_do(tmp_path: Path) -> None:
    with showing(tmp_path, self_signed(LeafSpec())) as port:
        result = run(f"{NAME}:{port}", "--connect", f"127.0.0.1:{port}")
    assert result.return_value is ExitCode.FAILED
    assert "  ✗ Issuer       Nobody vouches for the certificate but itself" in result.stdout
    assert "A browser would warn: it is self-signed (NET::ERR_CERT_AUTHORITY_INVALID)." in result.stdout
    assert "What to do:\n  - A self-signed certificate may be right" in result.stdout


@pytest.mark.parametrize("columns", [60, 80])
def test_no_line_is_wider_than_the_terminal(tmp_path: Path, columns: int) -> None:
    with showing(tmp_path, self_signed(LeafSpec(not_after=NOW + 900 * DAY))) as port:
        result = run(f"other.test:{port}", "--connect", "127.0.0.1", columns=columns)
    assert max(len(line) for line in result.stdout.splitlines()) <= columns
    assert "not for other.test" in words(result.stdout)


def test_marks_are_words_where_the_encoding_has_no_signs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    with showing(tmp_path, self_signed(LeafSpec())) as port:
        assert main(["check", f"{NAME}:{port}", "--connect", "127.0.0.1"]) == ExitCode.FAILED
    sys.stdout.flush()
    assert isinstance(sys.stdout.buffer, io.BytesIO)
    written = sys.stdout.buffer.getvalue().decode("ascii")
    assert "  NO Issuer " in written
    assert "  ok Dates " in written
    assert "  -- Signatures " in written


@pytest.mark.parametrize("quiet", [True, False])
def test_colour_is_for_terminals_unless_NO_COLOR_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], quiet: bool
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    if quiet:
        monkeypatch.setenv("NO_COLOR", "1")
    with showing(tmp_path, self_signed(LeafSpec())) as port:
        main(["check", f"{NAME}:{port}", "--connect", "127.0.0.1"])
    assert ("\x1b[31;1m" in capsys.readouterr().out) is not quiet


def test_json_has_the_documented_shape(root: Issued, ca: Path, tmp_path: Path) -> None:
    leaf = root.issue(LeafSpec())
    with showing(tmp_path, leaf) as port:
        result = run(f"{NAME}:{port}", "--connect", "127.0.0.1", "--ca", str(ca), "--json")
    values = json.loads(result.stdout)
    assert result.return_value is ExitCode.OK
    assert values["address"] == {
        "host": NAME,
        "port": port,
        "url": f"https://{NAME}:{port}/",
        "ip": "127.0.0.1",
    }
    assert (values["connected"], values["browser_warns"], values["chromium_error"]) == (True, False, "")
    assert {name: each["mark"] for name, each in values["questions"].items()} == {
        "issuer": "fine",
        "dates": "fine",
        "name": "fine",
        "signatures": "fine",
    }
    assert values["stores"][0] == {
        "name": f"ca:{ca}",
        "label": str(ca),
        "kind": "given",
        "trusts": True,
        "detail": "",
    }
    assert [each["name"] for each in values["verifiers"]] == ["OpenSSL", "OpenSSL, strict", "cryptography"]
    assert all(each["accepts"] for each in values["verifiers"])
    assert values["path"]["ends"] == "anchored"
    assert [each["sent"] for each in values["path"]["certificates"]] == [True, False]
    assert values["path"]["certificates"][0]["sha256"] == leaf.facts.fingerprint
    page = (DOCS / "reference/json.md").read_text()
    documented = re.findall(r"`(\w+)`", page.partition("<!-- json: check -->")[2].partition("<!-- /json -->")[0])
    assert values.keys() - {"address"} <= set(documented)


def test_json_without_a_connection(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    result = run(f"127.0.0.1:{port}", "--json")
    values = json.loads(result.stdout)
    assert result.return_value is ExitCode.NO_CONNECTION
    assert (values["connected"], values["browser_warns"], values["reason"]) == (False, True, "port closed")
    assert values["advice"]


def test_without_a_connection_it_is_an_error_with_its_own_code() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(NoConnection) as caught:
        run(f"127.0.0.1:{port}")
    assert str(caught.value) == f"Nothing listens on port {port} of 127.0.0.1 (127.0.0.1)."
    assert caught.value.exit_code is ExitCode.NO_CONNECTION
    assert caught.value.hint


def test_a_name_that_does_not_resolve_gets_the_command_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    with pytest.raises(NoConnection) as local_ca:
        run("shop.dev.local:8443")
    assert str(local_ca.value) == "shop.dev.local does not resolve on this machine (Name or service not known)."
    assert "devtls setup names makes it resolve" in local_ca.value.hint
    assert "devtls check shop.dev.local:8443 --connect 127.0.0.1" in local_ca.value.hint
    with pytest.raises(NoConnection) as foreign:
        run("shop.example")
    assert "hosts" not in foreign.value.hint


@pytest.mark.parametrize("argv", [[], ["http://app.dev.local"], ["app.dev.local:99999"]])
def test_what_is_no_address_is_refused_with_a_hint(argv: list[str]) -> None:
    with pytest.raises(InvalidAddress) as caught:
        run(*argv)
    assert caught.value.exit_code is ExitCode.USAGE
    assert caught.value.hint


def test_a_ca_file_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty.pem").write_text("nothing\n")
    for name in ("empty.pem", "missing.pem"):
        assert main(["check", "localhost", "--ca", str(tmp_path / name)]) == ExitCode.USAGE
    said = capsys.readouterr().err
    assert "holds no certificate" in said
    assert "cannot be read: No such file or directory" in said


def test_a_ca_that_cannot_be_read_does_not_stop_a_check(home: Path, root: Issued, ca: Path, tmp_path: Path) -> None:
    (home / "state").mkdir(mode=0o700)
    (home / "state" / "ca.current").write_text("damaged")
    with showing(tmp_path, root.issue(LeafSpec())) as port:
        assert run(f"{NAME}:{port}", "--connect", "127.0.0.1", "--ca", str(ca)).return_value is ExitCode.OK


def test_the_example_in_the_documentation_is_what_is_printed(tmp_path: Path) -> None:
    shown = (DOCS / "how-to/diagnose.md").read_text().partition("<!-- check -->")[2].partition("<!-- /check -->")[0]
    lines = [line for line in shown.splitlines() if line and not line.startswith(("```", "$ "))]
    with showing(
        tmp_path, self_signed(LeafSpec(subject="localhost", dns=("localhost",), not_after=NOW + 90 * DAY))
    ) as port:
        printed = run(f"localhost:{port}").stdout.replace(str(port), "4433")
    assert folded("\n".join(lines)) == folded(printed)


def folded(text: str) -> str:
    return words(re.sub(r"\d+ days", "N days", re.sub(r"\d{4}-\d\d-\d\d", "DATE", text)))
