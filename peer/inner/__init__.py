"""The inner loop: one device's own training steps, at its own speed.

`loop.py` makes a step. `lr_schedule.py` says at which learning rate, from the settings and what the swarm has trained;
`optimizer.py` moves the parameters, the matrices by `muon.py`; `regularization.py` holds back what would be learnt by
heart, and `weight_average.py` keeps the average, which is what is judged. `batch_size.py` says on how many sequences,
and `compiling.py` makes it faster. The network must never come in: no step waits for anybody.
"""
