"""A device's part in a run under way: the training loop, its checkpoints, its measurements, what people read of it.

`setup.py` builds it out of all other rooms, and `trainer.py` runs it: steps, then a turn of all that goes on beside
them, until Ctrl+C or until `epochs.py` says that the text was passed over so often. No other room imports this one.
"""
