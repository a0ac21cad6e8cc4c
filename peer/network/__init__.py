"""This device on the network: how others are found and reached, and what is said to them.

`handle.py` is the one door: training holds a `Network`, and asks it. Behind it `process.py` starts hivemind's DHT in a
process of its own (`hivemind_patches.py`), in which `node.py` lives, put together from parts that own what they know:
`lan_search.py` finds others (`discovery.py` by mDNS, `subnet_scan.py` one by one), `meeting.py` connects to them
(`reachability.py`: whether they can to us, `common_time.py`: whose clock holds), `notices.py` is the notice board, and
`transfers.py` gives and takes state.

Every message is defined in `peer/wire.py`, and checked there when it arrives. What a message means for the model must
never be decided here, and no tensors are computed.
"""
