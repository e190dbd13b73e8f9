"""Sockets: thin files that each drive one pure machine.

Nothing here decides what HTTP means or which certificate a name may have; it moves bytes, keeps time and frees what
it took.
"""
