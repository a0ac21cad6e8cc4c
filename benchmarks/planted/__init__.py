"""People's data and names planted in chats, and what of them is left in what would be trained on.

Only benchmarks are here. Who writes sentences for it must not have read the expressions of data/masking.
"""
