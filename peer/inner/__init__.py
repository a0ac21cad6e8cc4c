"""The inner loop: one device's own training steps, at its own speed.

`loop.py` makes a step. `lr_schedule.py` says at which learning rate, from the settings and what the swarm has trained;
`optimizer.py` with which AdamW, `batch_size.py` on how many sequences, and `compiling.py` makes it faster. The network
must never come in: no step waits for anybody.
"""
