"""The sample app of `devtls demo`: a page that shows what an app behind the proxy gets.

Owns the app and how it is started on a loopback port. Knows nothing of the proxy: it is an app like any other.
"""

from __future__ import annotations

from devtls.demo.app import make_app, start

__all__ = ["make_app", "start"]
