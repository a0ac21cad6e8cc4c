"""The state that a run agrees on: the anchor, the means that moved it, and how both are given to others and taken.

`anchor.py` is the anchor and its arithmetic, `codec.py` the payload of a few bits a number, `means.py` the means that
moved it, `contributions.py` what of this device's training is in it. `serving.py` gives a checkpoint folder and means
to others, `fetching.py` takes them, `verifying.py` looks at every state that was taken before it is used, and
`shards.py` does the same for text. When to take something, and from whom, must never be decided here.
"""
