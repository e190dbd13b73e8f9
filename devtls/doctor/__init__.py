"""Proofs and checks of this machine, by real programs rather than by our own records."""
