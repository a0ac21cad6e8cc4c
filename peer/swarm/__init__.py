"""Decisions about the swarm: who is here, who exchanges with whom, what a device does next.

Plain values in and plain values out, tested without a socket. No I/O, no clock, no torch, no hivemind.
"""
