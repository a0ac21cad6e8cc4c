"""This device on the network: who is here, how they are reached, and every message that crosses the wire.

`node.py` runs beside hivemind's DHT in a process of its own, and `handle.py` is what training holds of it. What a
message means for the model is decided elsewhere (`swarm/`, `outer/`); no tensors are computed here.
"""
