"""The ways of a device into a run: found, join, resume, be invited, or only take the newest state.

What happens once, before training, is here; `join.py` leads through it. Rounds, exchanges and checkpoints of a run
under way must never come in.
"""
