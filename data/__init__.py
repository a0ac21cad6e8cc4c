"""Chat exports in, clean text and train.jsonl out: `python -m data`, or `data.prepare.prepare` from another program.

`formats/` reads the exports, `masking/` takes out who they are about, `texts/` keeps and cuts them. People's text stays
in this folder: nothing here opens a connection, and nothing of minigpt or peer is imported. `atomic.py`,
`private.py` and `terminal.py` are the ground that every package stands on: files that are whole or not there, files
that nobody else can read, and text fit for a terminal.
"""
