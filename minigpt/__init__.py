"""The model's room: settings, the Llama-shaped model, its data, its checkpoints, and `python -m minigpt.generate`."""

import os

# Threads that wait for each other asleep, not spinning (read when torch is imported): anything else that runs on the
# device would cost training most of its speed, and training it (docs/log.md).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# The tokenizer's control symbols, by id: they are put around a text as numbers and are never read out of one.
UNKNOWN, START, END_OF_TEXT, PADDING = range(4)

# A label that the loss leaves out (PyTorch's own default for `ignore_index`).
IGNORED = -100
