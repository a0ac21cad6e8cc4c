"""The way of a device into a run: to join it, to found it, to resume it, or only to take its newest state.

`join.py` leads through it. `wanted_run.py` is what the user asked for, `presence.py` this device on the notice board
meanwhile. `find_run.py` decides whether to join or to found, `take_state.py` takes a run from a donor, `found_run.py`
founds one, with what `prepare_text.py`, `size.py` and `given_checkpoint.py` bring, and `wait_for_text.py` is a device
that has none: it takes `shared_text.py` of others, and is a `relay.py` of the newest state. `run.py` is what comes out.
`invite.py` and `pull.py` are for who comes with an invite, or only takes the model. `outside.py` is a device before a
locked run; by `owner_commands.py` its owner asks the running peer to lock the run or to let a device in, and
`owner_requests.py` answers there; `questions.py` takes what the page asks other devices' models. Rounds, exchanges and
checkpoints of a run under way must never come in.
"""
