"""Readers of chat exports: files in, messages out, one module a format and `detect.py` to tell them apart.

A reader gives what people wrote, as they wrote it. Nothing is masked or cut here, and nothing is written to disk.
"""
