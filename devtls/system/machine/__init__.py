"""This machine: its paths, plans and how they are carried out, elevation, ports held, private files."""
