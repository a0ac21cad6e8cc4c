"""This device: its battery, heat, memory and screen, and the processes that it starts.

Nothing here knows that there are other devices: no run, no peers, no network. By `control.py` the owner asks the peer
that runs for something, whatever that is, and `wishes.py` keeps what training is to heed.
"""
