"""The state that a run agrees on: the anchor, the means that moved it, and how both are given to others and taken.

Everything that arrives is checked here before it is used. Nothing here decides when to take it, or from whom.
"""
