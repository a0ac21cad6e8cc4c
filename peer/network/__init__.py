"""This device on the network: who is here, how they are reached, and what is said to them.

`handle.py` is the one door: training holds a `Network`, and asks it. Behind it `process.py` starts hivemind's DHT in a
process of its own, in which `node.py` lives, put together from parts that own what they know (`identity.py`,
`meeting.py`, `lan_search.py`, `notices.py`, `transfers.py`). The messages themselves are in `peer/wire.py`. What they
mean for the model is decided elsewhere (`swarm/`, `outer/`); no tensors are computed here.
"""
