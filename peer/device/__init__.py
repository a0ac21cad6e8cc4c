"""This device: its battery, heat, memory and screen, and the processes that it starts.

Nothing here knows that there are other devices: no run, no peers, no network.
"""
