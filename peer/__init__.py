"""One device in the run: it finds the others, trains with them, comes and goes as its owner pleases.

    python -m peer --join

The rooms, from the roof down; imports only go down. `training/` runs a device's part in a run. `outer/` exchanges with
others, `joining/` brings a device into a run, `doctor/` says what keeps devices apart. `network/` finds and reaches
others. `state/` is what a run agrees on, `inner/` one device's own steps. `page/` is what the owner of a device sees.
`swarm/` decides, `device/` is the device itself. `wire.py` has every message that crosses the network, and checks it.
"""

import os

import minigpt  # noqa: F401 -- first, so that Ctrl+C is quiet while the rest is loaded

# hivemind and its p2pd log to the terminal unless told otherwise before they are imported; ours says what a user needs
os.environ.setdefault("HIVEMIND_LOGLEVEL", "CRITICAL")
# the other strategy needs one more process, which aborts its clients when it is ended first
os.environ.setdefault("HIVEMIND_MEMORY_SHARING_STRATEGY", "file_descriptor")
