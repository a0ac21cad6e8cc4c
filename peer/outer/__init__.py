"""The outer loop: exchanges with other devices, and the anchor that moves by them, round after round.

When to exchange, with whom, what is given and how it is averaged. How messages travel is not here (`network/`), nor
how a step is trained (`inner/`).
"""
