"""`devtls check`: what a browser would decide about a server, and why.

Facts in, answers out: what touches the network or a store is in `resolve`, `meet`, `fetch`, `look_up`, `stores` and
`opinions`, `examine` calls them in order, and everything else is pure.
"""
