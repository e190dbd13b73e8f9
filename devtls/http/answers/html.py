"""Our own responses as a page: markup, style, the script that looks whether the app is up, the policy that allows both.

Owns the look. Refuses to load anything: the page is one file without images, fonts or scripts from elsewhere, and its
Content-Security-Policy names its own style and script by their hash, so that text which slipped through the escaping
still could not run. Every text is escaped here.
"""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256

from devtls.http.answers.content import PageRow, PageText, printable

_CODE_SPAN = re.compile(r"`([^`]+)`")
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"})


def escape(text: str) -> str:
    """Return text that means itself in HTML; as `html.escape`, whose module brings 2,231 entities and takes 2 ms."""
    return text.translate(_ESCAPES)


def marked(text: str) -> str:
    """Return a text escaped, with what stands in backticks as code."""
    return _CODE_SPAN.sub(r"<code>\1</code>", escape(printable(text)))


def _link(label: str, href: str) -> str:
    label = escape(printable(label))
    # An address comes from the network: javascript: would be a link as well.
    if not href.startswith(("https://", "http://")):
        return label
    return f'<a href="{escape(printable(href))}">{label}</a>'


def _row(row: PageRow) -> str:
    others = ", ".join(_link(*other) for other in row.others)
    also = f"<small>also {others}</small>" if others else ""
    return f"<li><span>{_link(row.label, row.href)}</span><span>{escape(printable(row.detail))}</span>{also}</li>"


def render(text: PageText) -> bytes:
    """Return the page of `text`."""
    meant = f"<p>Did you mean {_link(text.meant, text.meant)}?</p>" if text.meant else ""
    message = f"<p>{marked(text.message)}</p>" if text.message else ""
    rows = f"<ul>{''.join(map(_row, text.rows))}</ul>" if text.rows else ""
    hint = f'<p class="next">{marked(text.hint)}</p>' if text.hint else ""
    parts = [hint, f"<h2>{marked(text.rows_title)}</h2>", rows] if text.rows_title else [rows, hint]
    body = f"{meant}{message}{''.join(parts)}{_WAITING if text.reloads else ''}"
    return frame(
        text.title,
        str(text.status),
        body,
        footer="This page comes from devtls, the HTTPS proxy on this machine, not from the app.",
        head=_RELOAD_WITHOUT_SCRIPT if text.reloads else "",
        script=_SCRIPT_ELEMENT if text.reloads else "",
    )


def frame(
    title: str, badge: str, body: str, *, footer: str, style: str = "", head: str = "", script: str = ""
) -> bytes:
    """Return a whole page around `body`; of the texts only title, badge and footer are escaped here."""
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><meta name="robots" content="noindex">'
        f"<title>{escape(printable(title))}</title><style>{_STYLE}{style}</style>{head}</head><body><main>"
        f"<header>{_MARK}<b>devtls</b><i>{escape(printable(badge))}</i></header>"
        f"<h1>{escape(printable(title))}</h1>{body}<footer>{escape(printable(footer))}</footer>"
        f"</main>{script}</body></html>\n"
    )
    return page.encode("utf-8", "replace")


_MARK = (
    '<svg viewBox="0 0 24 24" width="22" height="22" aria-hidden="true"><path d="M7 10V7.5a5 5 0 0 1 10 0V10" '
    'fill="none" stroke="currentColor" stroke-width="2.2" stroke-linecap="round"/>'
    '<rect x="4" y="10" width="16" height="11" rx="3" fill="currentColor"/></svg>'
)

_STYLE = """
:root{--page:#eef1f4;--card:#fff;--ink:#17202a;--soft:#5b6876;--line:#dfe5ea;--well:#f5f7f9;--mark:#0b7a5c;--link:#0a5fb4;
--next:#e9f6f1;--shade:0 1px 2px #0f1c2b14,0 12px 40px #0f1c2b14}
@media(prefers-color-scheme:dark){:root{--page:#0d1116;--card:#161c23;--ink:#e8edf2;--soft:#98a5b3;--line:#29323c;
--well:#10151b;--mark:#45d0a2;--link:#7bbcff;--next:#11271f;--shade:0 12px 40px #0006}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;display:grid;place-items:center;padding:24px;background:var(--page);color:var(--ink);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif}
main{width:min(100%,42rem);background:var(--card);border:1px solid var(--line);border-radius:16px;
box-shadow:var(--shade);padding:clamp(20px,5vw,40px)}
header{display:flex;align-items:center;gap:.5rem;color:var(--mark)}
header b{color:var(--ink);letter-spacing:.01em}
header i{margin-left:auto;color:var(--soft);font:600 .85rem/1 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;
border:1px solid var(--line);border-radius:99px;padding:.4em .8em}
h1{margin:1.4rem 0 .5rem;font-size:clamp(1.35rem,4.5vw,1.8rem);line-height:1.25;letter-spacing:-.015em;
text-wrap:balance;overflow-wrap:anywhere}
p{margin:.5rem 0;overflow-wrap:anywhere}
code,ul{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:.9em}
code{background:var(--well);border:1px solid var(--line);border-radius:6px;padding:.1em .4em}
ul{list-style:none;margin:1.25rem 0;padding:0;border:1px solid var(--line);border-radius:10px;background:var(--well);
overflow:hidden}
li{display:flex;flex-wrap:wrap;gap:.2rem 1.5rem;justify-content:space-between;padding:.65rem .9rem;
overflow-wrap:anywhere}
li+li{border-top:1px solid var(--line)}
li span+span,small{color:var(--soft)}
small{flex-basis:100%;font-size:.9em}
h2{margin:1.5rem 0 -.5rem;font-size:1rem;font-weight:600}
a{color:var(--link);text-decoration:none}
a:hover{text-decoration:underline}
.next{margin:1.25rem 0;padding:.8rem 1rem;border-left:4px solid var(--mark);border-radius:4px 10px 10px 4px;
background:var(--next)}
.wait{display:flex;align-items:center;gap:.65rem;color:var(--soft)}
.wait s{width:.6rem;height:.6rem;border-radius:50%;background:var(--mark);animation:beat 1.4s ease-in-out infinite}
@keyframes beat{50%{opacity:.25;transform:scale(.75)}}
@media(prefers-reduced-motion:reduce){.wait s{animation:none}}
footer{margin-top:1.75rem;padding-top:1rem;border-top:1px solid var(--line);color:var(--soft);font-size:.85rem}
"""

_WAITING = '<p class="wait" role="status"><s></s>Waiting for the app. This page reloads when it is up.</p>'
_RELOAD_WITHOUT_SCRIPT = '<noscript><meta http-equiv="refresh" content="3"></noscript>'

# As long as nothing listens, Devtls-Error is `upstream`; anything else, whatever its status, is news worth a reload. A
# redirect that is not followed shows no fields and so counts as the app's, which it is. A hidden tab does not ask.
_SCRIPT = """
(() => {
  let pause = 500;
  const again = () => { pause = Math.min(pause * 1.25, 3000); setTimeout(look, pause); };
  const look = async () => {
    if (document.hidden) {
      document.addEventListener("visibilitychange", () => { pause = 500; look(); }, { once: true });
      return;
    }
    const url = location.origin + location.pathname + location.search;
    const asked = { method: "HEAD", cache: "no-store", redirect: "manual", headers: { "Devtls-Poll": "1" } };
    const answer = await fetch(url, asked).catch(() => null);
    if (answer && answer.headers.get("Devtls-Error") !== "upstream") location.reload();
    else again();
  };
  again();
})();
"""
_SCRIPT_ELEMENT = f"<script>{_SCRIPT}</script>"


def _source_hash(source: str) -> bytes:
    return b"'sha256-" + b64encode(sha256(source.encode()).digest()) + b"'"


def static_policy(style: str = "") -> bytes:
    """Return the policy of a page of ours without script, shown in no frame; `style` is what `frame` got."""
    own = b"default-src 'none'; style-src " + _source_hash(_STYLE + style)
    return own + b"; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


# No frame-ancestors: an app that is shown in a frame (a component gallery, a preview pane) should explain itself there
# too, and the page holds nothing to be clicked into by mistake.
POLICY = (
    b"default-src 'none'; style-src " + _source_hash(_STYLE) + b"; script-src " + _source_hash(_SCRIPT) + b"; "
    b"connect-src 'self'; base-uri 'none'; form-action 'none'"
)
