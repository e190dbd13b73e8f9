"""The composition root: a configuration and a CA become a running proxy, and stay one through reloads.

`source` reads the configuration, `assembly` joins net, pki, system and web, `listeners` binds the ports, `run` is the
process around it, `log` and `banner` are what it says.
"""
