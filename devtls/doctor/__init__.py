"""Proofs and verdicts: what really works on this machine, asked of real programs rather than of our own records."""
