"""The composition root: a configuration and a CA become a running proxy, and stay one through reloads.

`source` reads what was asked for, `assembly` joins net, pki, system and web, `ports` opens the doors, `run` is the
process around it, `log` and `banner` are what it says.
"""
