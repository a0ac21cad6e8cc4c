"""The model's room: settings, the Llama-shaped model, its data, its checkpoints, and `python -m minigpt.generate`."""

# The tokenizer's control symbols, by id: they are put around a text as numbers and are never read out of one.
UNKNOWN, START, END_OF_TEXT, PADDING = range(4)

# A label that the loss leaves out (PyTorch's own default for `ignore_index`).
IGNORED = -100
