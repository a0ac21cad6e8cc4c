"""The outer loop: exchanges with other devices, and the anchor that moves by them, round after round.

`loop.py` says what is done when; `outer_state.py` moves the anchor, and closes the round once enough has gone into it.
`peers.py` drops who has left (as `swarm/membership.py` decides) and who is `shunned.py`; `doubts.py` remembers whom we
know, and whose claims came to nothing; `newcomers.py` what strangers on the way to us may cost; `offers.py` counts what
the others have trained beside the anchor. `pseudo_gradient.py` is what this device gives; `exchange_schedule.py` says
how often and how precisely, `exchanging.py` has the exchange in flight, which `matchmaking.py`, `leaders.py`,
`averager.py` and `all_reduce.py` carry out, checking all that comes, and `averager_process.py` restarts.
`catching_up.py` takes what was missed. `synchronous.py` is the other way, `--averaging sync`; `interface.py` is what
training knows of either, with `events.py`. How others are found and reached must never be decided here (`network/`),
nor steps be trained (`inner/`).
"""
