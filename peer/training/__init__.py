"""A device's part in a run under way: the training loop, its checkpoints, its measurements, what people read of it.

The top floor: it puts the other rooms together, and none of them knows it.
"""
