"""The three proxies that are compared, each set up for the same job: TLS 1.3 and HTTP/2 or 1.1 in front, kept
HTTP/1.1 behind, no log.

Owns their configuration files and command lines. Strategy: a Contender is a folder with everything it needs, so that it
can be started again and again (`start`) and finds its certificates where the first start left them.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from tests.bench.certificates import write_chain
from tests.bench.process import Process

NAME = "app.dev.local"
PROXY_CORE = 0
LOAD_CORE = 1
_KEPT_CONNECTIONS = 128


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@dataclass
class Contender(ABC):
    """One proxy: its folder, the port of the backend, and its own port."""

    folder: Path
    backend_port: int
    port: int

    label = ""

    @abstractmethod
    def version(self) -> str: ...

    @abstractmethod
    def prepare(self) -> None:
        """Write the configuration."""

    @abstractmethod
    def argv(self) -> list[str]: ...

    @property
    @abstractmethod
    def root(self) -> Path:
        """The root certificate; for some it is there only after the first start."""

    def env(self) -> dict[str, str]:
        return {"HOME": str(self.folder)}

    def start(self) -> Process:
        return Process(self.argv(), core=PROXY_CORE, env=self.env(), folder=self.folder)


class Devtls(Contender):
    label = "devtls"
    command = Path(sys.executable).parent / "devtls"

    def version(self) -> str:
        return _first_match(r"[\d.]+\S*", [str(self.command), "--version"])

    def prepare(self) -> None:
        # A configuration of its own keeps a devtls.toml above the folder out of the measurement.
        text = f'[routes]\napp = {self.backend_port}\n"*.app" = {self.backend_port}\n'
        (self.folder / "devtls.toml").write_text(text)

    def argv(self) -> list[str]:
        return [str(self.command), "serve", "--https-port", str(self.port), "--no-redirect", "--quiet"]

    def env(self) -> dict[str, str]:
        return {
            **super().env(),
            "DEVTLS_STATE_DIR": str(self.folder / "state"),
            "DEVTLS_CONFIG_DIR": str(self.folder / "config"),
            "PYTHONDONTWRITEBYTECODE": "",  # An installed package has its bytecode.
        }

    @property
    def root(self) -> Path:
        path = self.folder / "root.pem"
        if not path.exists():
            argv = [str(self.command), "ca", "export", "--out", str(path)]
            done = subprocess.run(argv, env={**os.environ, **self.env()}, capture_output=True, text=True, check=False)
            if done.returncode:
                raise FileNotFoundError(f"no root yet: {done.stderr}")
        return path


class Caddy(Contender):
    label = "Caddy"
    command = Path(sys.executable).parent / "caddy"

    def version(self) -> str:
        return _first_match(r"[\d.]+", [str(self.command), "version"])

    def prepare(self) -> None:
        # The catch-all site mints each name when it is first asked for, after the permission endpoint agreed.
        proxy = (
            f"reverse_proxy 127.0.0.1:{self.backend_port} "
            f"{{\n transport http {{\n keepalive_idle_conns_per_host {_KEPT_CONNECTIONS}\n }}\n }}"
        )
        (self.folder / "Caddyfile").write_text(
            f"{{\n admin off\n skip_install_trust\n auto_https disable_redirects\n"
            f" http_port {free_port()}\n https_port {self.port}\n"
            f" on_demand_tls {{\n ask http://127.0.0.1:{self.backend_port}/ask\n }}\n"
            f" servers {{\n protocols h1 h2\n }}\n log {{\n level ERROR\n }}\n}}\n"
            f"https://{NAME} {{\n tls internal\n {proxy}\n}}\n"
            f"https:// {{\n tls internal {{\n on_demand\n }}\n {proxy}\n}}\n"
        )

    def argv(self) -> list[str]:
        return [str(self.command), "run", "--config", "Caddyfile", "--adapter", "caddyfile"]

    def env(self) -> dict[str, str]:
        return {
            **super().env(),
            "XDG_DATA_HOME": str(self.folder / "data"),
            "XDG_CONFIG_HOME": str(self.folder / "config"),
        }

    @property
    def root(self) -> Path:
        return self.folder / "data/caddy/pki/authorities/local/root.crt"


class Nginx(Contender):
    label = "nginx"

    def version(self) -> str:
        return _first_match(r"[\d.]+", ["nginx", "-v"])

    def prepare(self) -> None:
        write_chain(self.folder, NAME)
        write_nginx(
            self.folder,
            f" upstream app {{ server 127.0.0.1:{self.backend_port}; keepalive {_KEPT_CONNECTIONS};"
            " keepalive_requests 1000000000; }\n"
            f" server {{\n  listen 127.0.0.1:{self.port} ssl http2;\n  ssl_protocols TLSv1.3;\n"
            "  ssl_certificate leaf.pem;\n  ssl_certificate_key leaf.key;\n"
            "  location / { proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection '';\n"
            "   proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $remote_addr;\n"
            "   proxy_set_header X-Forwarded-Proto https; proxy_max_temp_file_size 0; }\n }\n",
        )

    def argv(self) -> list[str]:
        return nginx_argv(self.folder)

    @property
    def root(self) -> Path:
        return self.folder / "root.pem"


def write_nginx(folder: Path, http: str) -> None:
    """Write an nginx.conf with one worker, no access log and all its files in `folder`."""
    user = "user root;\n" if os.geteuid() == 0 else ""  # As root a worker is `nobody`, who cannot read the folder.
    temp = "".join(
        f" {kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"{user}daemon off;\nworker_processes 1;\npid {folder}/nginx.pid;\nerror_log stderr crit;\n"
        "events { worker_connections 1024; }\n"
        f"http {{\n access_log off;\n sendfile on;\n{temp}"
        # nginx would close each connection after 1,000 requests, and HTTP/2 counts them too.
        f" keepalive_requests 1000000000;\n http2_max_concurrent_streams 256;\n{http}}}\n"
    )


def nginx_argv(folder: Path) -> list[str]:
    return ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]


def _first_match(pattern: str, argv: list[str]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    found = re.search(rf"(?<=[ /v])?{pattern}", (done.stdout + done.stderr).split("/", 1)[-1])
    return found.group() if found else "?"
