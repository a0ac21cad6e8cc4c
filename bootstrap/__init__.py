"""A DHT node that trains nothing and gives others a first address.

python -m bootstrap
"""

import minigpt  # noqa: F401 -- first, so that Ctrl+C is quiet while the rest is loaded
