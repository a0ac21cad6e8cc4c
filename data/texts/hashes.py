"""Hashes that are the same on every run. Processes that only clean need them, and no reader of exports."""

import hashlib


def hash64(text: str) -> int:
    """Return a number of 64 bits that is the same on every run."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
