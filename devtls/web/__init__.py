"""Endpoints that devtls serves itself, with aiohttp: static directories, the PKI endpoint, the control API, ACME.

`lazy_site` listens before aiohttp is loaded, `static` and `pki_endpoint` are the apps behind it.
"""
