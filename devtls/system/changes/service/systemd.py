"""The common part of the two systemd services: the text of a unit, and systemctl's account of it.

Owns the parts of a [Service] section that hold for both, and the reading of `systemctl show`. Strategy: hardening by
system call filters only, which work without privileges; name spaces of its own are for the system's manager, since a
user's needs unprivileged ones, which Ubuntu 24.04 and hardened kernels refuse.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from pathlib import Path

from devtls.errors import ExitCode
from devtls.system.changes.change import ChangeState, DesiredState, Status
from devtls.system.changes.service.account import refusal_of_paths
from devtls.system.changes.service.quoting import command_line, environment_lines, read_command_line
from devtls.system.machine.execute import Finished, Runner
from devtls.system.machine.plan import Run

UNIT = "devtls.service"
PAC_SOCKET = "devtls-pac.socket"
"""Holds the port that a browser's proxy setting names while devtls is down: else any user may take it."""
MARK = b"# Written by devtls."
_LOOPBACK6 = f"{ipaddress.IPv6Address('::1').packed.hex()} "
START_S = 40.0
"""Limit of a step that waits for serve to be ready."""
_HEAD = f"{MARK.decode()} It is replaced and removed as a whole: put changes into a drop-in (systemctl edit).\n"
_SHOW_S = 5.0
_PROPERTIES = (
    "LoadState", "UnitFileState", "ActiveState", "SubState", "Result", "MainPID", "ExecMainStatus",
)  # fmt: skip

# Exit codes of serve itself, see devtls.errors.
_IN_VAIN = (ExitCode.USAGE, ExitCode.CONFIG, ExitCode.STATE, ExitCode.REFUSED)
"""Faults that a person has to fix: starting it again would end in the same way."""

_LIFE = (
    "WorkingDirectory=~",
    "Restart=on-failure",
    "RestartSec=2",
    # Somebody interrupted it, which is no failure.
    f"SuccessExitStatus={ExitCode.INTERRUPTED.value}",
    f"RestartPreventExitStatus={' '.join(str(code.value) for code in _IN_VAIN)}",
    "TimeoutStartSec=30",
)

_REFUSED_IN_PATHS = frozenset("\"'\\")  # string_is_safe() in systemd's src/basic/string-util.c

_HARDENING = (
    "NoNewPrivileges=yes",
    "UMask=0077",
    "LockPersonality=yes",
    # AF_UNIX for the control socket, sd_notify and apps on Unix sockets.
    "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "SystemCallArchitectures=native",
    "SystemCallFilter=@system-service",
    # Not the default SIGSYS, which kills: libraries try calls and go on without them.
    "SystemCallErrorNumber=EPERM",
)


def service_unit(
    argv: Iterable[str], variables: Mapping[str, str], *, unit: Iterable[str] = (), service: Iterable[str] = (),
    install: Iterable[str] = (),
) -> bytes:  # fmt: skip
    """Return the file of a service: what both ways share, and the lines of one of them for each section."""
    lines = [
        "[Unit]",
        "Description=devtls, local development HTTPS",
        # The default, 5 starts in 10 s, is hardly reached with RestartSec=2: it would be restarted for ever.
        "StartLimitIntervalSec=60",
        "StartLimitBurst=5",
        *unit,
        "",
        "[Service]",
        # `start` returns once serve said READY=1, and with an error where it never does (sd_notify(3)).
        "Type=notify",
        f"ExecStart={command_line(argv)}",
        "ExecReload=kill -HUP $MAINPID",
        *environment_lines(variables),
        *_LIFE,
        *_HARDENING,
        *service,
        *(["", "[Install]", *install] if install else []),
    ]
    return unit_file(lines)


def socket_unit(port: int, name: str, *, ipv6: bool) -> bytes:
    """Return the file of a socket on both loopback addresses; `name` is what serve knows it by."""
    addresses = ["127.0.0.1", *(["[::1]"] if ipv6 else [])]
    return unit_file(
        [
            "[Unit]",
            f"Description=Port {port} for devtls",
            "",
            "[Socket]",
            *(f"ListenStream={address}:{port}" for address in addresses),
            f"FileDescriptorName={name}",
            f"Service={UNIT}",
            "",
            "[Install]",
            "WantedBy=sockets.target",
        ]
    )


def has_ipv6(root: Path) -> bool:
    """Say whether ::1 is there: a socket unit whose address is not would fail as a whole."""
    try:
        return _LOOPBACK6 in (root / "proc/net/if_inet6").read_text()
    except OSError:
        return False


def unit_file(lines: Iterable[str]) -> bytes:
    """Return a file that says who wrote it."""
    return (_HEAD + "\n".join(lines) + "\n").encode()


def refusal(desired: DesiredState, config: str) -> ChangeState | None:
    """Return the state for a devtls that systemd would not start at all, None when it would."""
    if (unwritable := refusal_of_paths(desired, config)) is not None:
        return unwritable
    if not set(desired.command[0]) & _REFUSED_IN_PATHS:
        return None
    what = "systemd starts no program that has a quote or a backslash in its path"
    return ChangeState(Status.MANUAL, f"{what}, as {desired.command[0]} has", "Install devtls in another directory.")


def argv_of(content: bytes | None) -> tuple[str, ...]:
    """Return the command of a unit of ours."""
    for line in (content or b"").decode("utf-8", "replace").split("\n"):
        if line.startswith("ExecStart="):
            return read_command_line(line.removeprefix("ExecStart="))
    return ()


def ask_systemctl(runner: Runner, systemctl: Path, scope: tuple[str, ...], unit: str) -> dict[str, str] | str:
    """Return the properties of a unit, or why no manager tells them."""
    properties = [f"--property={name}" for name in _PROPERTIES]
    ended = runner.run(Run((str(systemctl), *scope, "show", unit, *properties), timeout_s=_SHOW_S))
    if not isinstance(ended, Finished):
        return ended.detail
    if ended.code != 0:
        return ended.last_line
    # `show` succeeds for units that do not exist, too: LoadState tells.
    lines = ended.stdout.decode("utf-8", "replace").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def trouble_in(shown: Mapping[str, str]) -> str:
    """Return half a sentence on why a unit does not run, "" when it runs or was stopped."""
    if shown.get("ActiveState") == "failed":
        status = shown.get("ExecMainStatus", "0")
        return f"it failed: {shown.get('Result', 'unknown')}" + (f", exit code {status}" if status != "0" else "")
    return "it keeps ending and is started again" if shown.get("SubState") == "auto-restart" else ""


def runs(shown: Mapping[str, str]) -> bool:
    """Whether a unit is up."""
    return shown.get("ActiveState") in ("active", "reloading")
