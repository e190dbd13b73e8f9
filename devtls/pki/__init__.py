"""Certificates as values: their profiles, the authority that issues them, CRLs, OCSP, file formats.

Pure: nothing here reads a clock, makes a key or touches a file. Datetimes are aware UTC; keys and serials are
parameters.
"""
