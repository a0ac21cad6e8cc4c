"""`python -m peer --doctor`: what keeps devices apart, found out and said in plain words.

`examine.py` looks, `diagnosis.py` decides on what was seen. Nothing here changes anything, and nobody depends on it.
"""
