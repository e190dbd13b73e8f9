"""nginx and Apache as Debian has them, with nothing in their configuration but one TLS site.

Owns the shortest configuration that starts as an ordinary user or as root, with all files in one folder.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.conftest import RequireTool

ANSWER = "it is ready"

_NGINX = """\
daemon off;
master_process off;
pid {folder}/nginx.pid;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    {more}
    return 200 "{answer}{shown}";
  }}
}}
"""
_APACHE = """\
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule alias_module {modules}/mod_alias.so
LoadModule ssl_module {modules}/mod_ssl.so
LoadModule socache_shmcb_module {modules}/mod_socache_shmcb.so
{user}
ServerName localhost
DefaultRuntimeDir {folder}
PidFile {folder}/apache.pid
ErrorLog {folder}/apache.log
Mutex file:{folder}
Listen 127.0.0.1:{port}
{stapling}
RedirectMatch 410 ^/
ErrorDocument 410 "{answer}"
SSLEngine on
SSLCertificateFile {certificate}
SSLCertificateKeyFile {key}
"""
_MODULES = Path("/usr/lib/apache2/modules")

SERVERS = ("nginx", "apache2")


def server_command(
    name: str,
    directory: Path,
    port: int,
    files: tuple[Path, Path],
    require_tool: RequireTool,
    *,
    more: str = "",
    stapling: bool = False,
) -> list[str]:
    """Write the configuration and return the command that runs the server in the foreground; `files` = chain, key.

    `more` are directives for nginx about clients: then the answer names the client. With `stapling` the server fetches
    what the OCSP responder says of its certificate, and hands it on.
    """
    certificate, key = files
    config = directory / f"{name}.conf"
    common = {"folder": directory, "port": port, "certificate": certificate, "key": key, "answer": ANSWER}
    if name == "nginx":
        tool = require_tool("nginx", "apt-get install nginx")
        shown = " $ssl_client_verify $ssl_client_s_dn" if more else ""
        staple = "ssl_stapling on;" if stapling else ""
        config.write_text(_NGINX.format(**common, more=more + staple, shown=shown))
        return [tool, "-p", str(directory), "-e", str(directory / "nginx.log"), "-c", str(config)]
    tool = require_tool("apache2", "apt-get install apache2-bin")
    # Apache refuses to answer requests as root.
    user = "User nobody" if os.geteuid() == 0 else ""
    cache = f"SSLUseStapling on\nSSLStaplingCache shmcb:{directory}/stapling(131072)" if stapling else ""
    config.write_text(_APACHE.format(**common, modules=_MODULES, user=user, stapling=cache))
    return [tool, "-X", "-d", str(directory), "-f", str(config)]
