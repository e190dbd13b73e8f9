"""Responses of our own: pages, their layout, and the advice about host checks."""
