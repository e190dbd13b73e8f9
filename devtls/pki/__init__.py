"""Certificates as values: the shape of each one, the authority that issues them, revocation lists.

Pure: nothing here reads a clock, makes a key or touches a file. Datetimes are aware UTC; keys and serials are
parameters.
"""
