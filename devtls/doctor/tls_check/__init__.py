"""`devtls check`: the decision of a browser about a server, with its reasons.

Facts in, answers out: the network and the stores are touched by `resolve`, `handshake`, `fetch`, `revocation`, `stores`
and `verifiers` alone, `check` calls them in order, and everything else is pure.
"""
