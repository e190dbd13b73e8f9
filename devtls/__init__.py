"""devtls: a local development HTTPS proxy with a private CA done right.

The names of a program that uses devtls as a library; everything else may change from one version to the next::

    Authority     a CA: it issues leaves for names inside its zones
    Leaf          a server certificate with its key, PEM
    Route         a host name and a path prefix, and the upstream behind them
    Upstream      an app's address, and what a proxy needs to know of it
    DevtlsError   the root of every error that devtls raises

Each is imported when it is first used (PEP 562): `import devtls` loads no other module of devtls and neither asyncio
nor aiohttp.
"""

from importlib import import_module

TYPE_CHECKING = False  # what type checkers know by that name, without 2 ms for `typing`
if TYPE_CHECKING:
    from devtls.errors import DevtlsError
    from devtls.pki.authority import Authority
    from devtls.pki.leaf import Leaf
    from devtls.routing import Route, Upstream

__all__ = ["Authority", "DevtlsError", "Leaf", "Route", "Upstream"]
__version__ = "0.1.0"

_MODULES = {
    "Authority": "devtls.pki.authority",
    "DevtlsError": "devtls.errors",
    "Leaf": "devtls.pki.leaf",
    "Route": "devtls.routing",
    "Upstream": "devtls.routing",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
