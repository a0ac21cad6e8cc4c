"""The page of this device: what training leaves of itself in files, and the small web server that shows it.

`models.py` says what the files and the answers hold. `snapshots.py` and `company.py` write for training, and never make
it wait. The rest runs in a process of its own (`python -m peer.page`, which `process.py` starts): `sources.py` reads
the files, `server.py` answers browsers, `guard.py` says who may ask, `deeds.py` does what the buttons say, and
`elsewhere.py` asks the models of other devices, to which `answers.py` brings the answers of ours. No torch and no
hivemind may come into that process, so that it stays small, but where somebody asks the model (`minigpt/serving/`).
Other commands show the same: `status_table.py` in the terminal, `report.py` in a file to keep.
"""
