"""A device's part in a run under way: the training loop, its checkpoints, its measurements, what people read of it.

`setup.py` builds it out of all other rooms, and `trainer.py` runs it: steps, then a turn of all that goes on beside
them, until Ctrl+C or until `epochs.py` says that the text was passed over so often; it rests where `learnt.py` finds
that nothing is left to gain, `divergence.py` takes it back where training diverges, and `health.py` where the device
itself is broken. `evaluator.py` judges states, and `best_state.py` keeps the best one. `round_log.py` and
`announcements.py` are what the person at this device reads, `other_runs.py` says who trains here and not with us;
`status.py` tells the page. Only the command line (`peer/__main__.py`) imports this room.
"""
