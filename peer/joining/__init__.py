"""How a device comes into a run: found, join, resume, be invited, or only take the newest state.

What happens once, before training, is here. Rounds, exchanges and checkpoints of a run under way are not.
"""
