"""Whether somebody can have trained as much as it claims: a claim that nobody can keep locks others out for ever."""

from __future__ import annotations

# Times as fast as this device, at which all others together may have trained: a good GPU beside a phone is.
FASTER = 2000
SLOWEST = 0.05  # sequences a second: what a device is taken to train at least, before it has made a step
# Times the sequences that were behind our own state when we began: others may have been apart from us before that.
TIMES_OURS = 16


def most_plausible(began_with: int, has: int, seconds: float, speed: float) -> int:
    """Return how many sequences may be behind a state of our run that is not one of ours.

    :param began_with: behind our own state when this program began
    :param has: behind our own state now
    :param seconds: since the state that we began with was written
    :param speed: sequences a second that this device trains
    """
    return has + TIMES_OURS * began_with + round(FASTER * max(SLOWEST, speed) * max(0.0, seconds))
