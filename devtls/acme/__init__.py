"""The ACME server (RFC 8555) as pure state: what each signed request comes to.

`server` is the way in, `signed` reads and checks the signatures (josepy), `model` holds accounts and orders and their
form on disk, `accounts`, `orders`, `challenges` and `revocation` are the resources. Nothing here reads a clock, rolls a
die, dials or signs a certificate: moment and seed are parameters, and what is to be done outside is returned as `Work`.
Loaded only where ACME is switched on: josepy is an extra (`devtls[acme]`).
"""
