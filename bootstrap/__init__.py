"""A DHT node that trains nothing and gives others a first address: `python -m bootstrap`.

It stands on the network's room, and shows an invite as joining makes them. Nothing of a model or of training comes in.
"""

import minigpt  # noqa: F401 -- first, so that Ctrl+C is quiet while the rest is loaded
