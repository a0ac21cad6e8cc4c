"""The model: settings, a Llama-shaped GPT, its texts as token ids, its checkpoints, and the commands that use it.

`python -m minigpt.generate` talks to it, `.serve` lets programs do so, `.evaluate` compares checkpoints, `.export`
writes llama.cpp's file. `checkpoint/`, `inference/` and `serving/` are rooms of their own. Nothing of peer must ever
come in: a model knows of no other device.
"""

import os
import signal
import sys

# Threads that wait for each other asleep, not spinning (read when torch is imported): anything else that runs on the
# device would cost training most of its speed, and training it (docs/log.md).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Ctrl+C while a command (python -m …) loads its modules ends it at once, and not with a traceback from among them.
if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def heed_interrupts() -> None:
    """Ctrl+C is KeyboardInterrupt again, now that all is loaded."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


# The tokenizer's control symbols, by id: they are put around a text as numbers and are never read out of one.
UNKNOWN, START, END_OF_TEXT, PADDING = range(4)

# A label that the loss leaves out (PyTorch's own default for `ignore_index`).
IGNORED = -100
