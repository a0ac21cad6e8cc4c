"""The outer loop: exchanges with other devices, and the anchor that moves by them, round after round.

`loop.py` says what is done when; `outer_state.py` moves the anchor, and closes the round once enough has gone into it.
`peers.py` keeps who is here, who has left and who is shunned, `exchange_schedule.py` says how often and
how precisely to exchange, `exchanging.py` has the exchange in flight, which `matchmaking.py`, `averager.py` and
`all_reduce.py` carry out, and `catching_up.py` takes what was missed. `synchronous.py` is the other way, `--averaging
sync`; `interface.py` is what training knows of either. Connections to others must never be opened here (`network/`),
nor steps be trained (`inner/`).
"""
