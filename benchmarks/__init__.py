"""Measurements on the test LAN of `tests/lan.py`, each a command that prints a table for docs/benchmarks.md.

Nothing imports them. What a test and a measurement share is in `tests/`.
"""
