"""What devtls serves itself, over aiohttp: static folders and the PKI endpoint.

`lazy_site` listens before aiohttp is loaded, `static` and `pki_endpoint` are the apps behind it.
"""
