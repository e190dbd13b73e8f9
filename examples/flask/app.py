"""A Flask app that says where it was asked for and counts visits in a secure cookie."""

from __future__ import annotations

import secrets

from flask import Flask, render_template_string, request, session
from werkzeug.middleware.proxy_fix import ProxyFix

PAGE = """<!doctype html>
<title>Flask behind devtls</title>
<h1>Hello from Flask</h1>
<p>You asked for <code id="url">{{ request.url }}</code>.</p>
<p>Visits from this browser: <b id="visits">{{ visits }}</b></p>
"""

app = Flask(__name__)
# One proxy stands in front: believe its X-Forwarded-For and -Proto, so that request.url and url_for() say https.
app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=0)
app.config.update(SECRET_KEY=secrets.token_bytes(32), SESSION_COOKIE_SECURE=True, SESSION_COOKIE_SAMESITE="Lax")


@app.get("/")
def show() -> str:
    session["visits"] = session.get("visits", 0) + 1
    return render_template_string(PAGE, visits=session["visits"], request=request)
