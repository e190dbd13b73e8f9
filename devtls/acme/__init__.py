"""The ACME server (RFC 8555) as pure state: a signed request in, a response or work to do out.

`server` is the way in, `signed` reads and checks the signatures (josepy), `model` holds accounts and orders and their
form on disk, `accounts`, `orders`, `challenges` and `revocation` are the resources. Nothing here reads a clock, makes
randomness, connects or signs a certificate: time and seed are parameters, and the work that has to be done outside is
returned as `Work`. Loaded only where ACME is switched on: josepy is an extra (`devtls[acme]`).
"""
