"""Cleaning: a message in, the same message out with nobody's name, number or address in it.

Plain text in and plain text out, by rules. No file formats come in here, and no decision about what is trained on.
"""
