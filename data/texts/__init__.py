"""From the messages of many exports to texts: kept, put together, cut into conversations, each text once.

What is on disk between two runs, and the work on all cores, is here. How an export looks inside is not (`formats/`).
"""
