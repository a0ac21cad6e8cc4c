"""The outer loop: exchanges with other devices, and the anchor that moves by them, round after round.

`loop.py` says what is done when, `interface.py` what training knows of it; all else is a part that one of them uses.
Here is decided when to exchange, with whom, what is given, and how it is averaged. How messages travel is not here
(`network/`), nor how a step is trained (`inner/`).
"""
