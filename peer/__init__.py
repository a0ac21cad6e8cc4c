"""One device in the run: finds the others, trains with them, comes and goes as its owner pleases.

python -m peer --join
"""

import os

import minigpt  # noqa: F401 -- first, so that Ctrl+C is quiet while the rest is loaded

# hivemind and its p2pd log to the terminal unless told otherwise before they are imported; ours says what a user needs
os.environ.setdefault("HIVEMIND_LOGLEVEL", "CRITICAL")
# the other strategy needs one more process, which aborts its clients when it is ended first
os.environ.setdefault("HIVEMIND_MEMORY_SHARING_STRATEGY", "file_descriptor")
