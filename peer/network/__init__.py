"""This device on the network: how others are found and reached, and what is said to them.

`handle.py` is the way in: training holds a `Network`, and asks it. Behind it `process.py` starts hivemind's DHT in a
process of its own (`hivemind_patches.py`), in which `node.py` lives, put together from parts that own what they know:
`lan_search.py` finds others (`discovery.py` by mDNS, `subnet_scan.py` one by one), `meeting.py` connects to them
(`reachability.py`: whether they can to us, `proofs.py`: whether they are there, `common_time.py`: whose clock holds),
`notices.py` is the notice board (`signatures.py`: nobody speaks in another's place), `transfers.py` gives and takes
state, and `answering.py` brings people's questions to another device's model, and its answers back.

In a locked run all of it passes `door.py`, whose key is the household's (`household.py`, kept by `household_file.py`);
`doorkeeper.py` sees to it that all members know the same one, and strangers go. `porch.py` is for who stands before the
door: members that were away, and who knocks (`knocks.py` inside, `asking_in.py` outside).

Every message is defined in `peer/wire.py`, and checked there when it arrives. What a message means for the model must
never be decided here, and no tensors are computed.
"""
