"""Decisions about the swarm, from what its devices say of themselves: plain values in, plain values out.

`membership.py` decides who is here and who has left (a goodbye, or silence), who founds a run and whose state is
newest; `grouping.py` who exchanges with whom; `household.py` who belongs to a locked run; `knocking.py` whose knocks at
one are heard; `asking.py` whose questions are answered; `clocks.py` what time it is; `names.py` what devices are shown
as; `advice.py` what people are told. No socket, no disk, no clock, no torch and no hivemind must ever come in: every
case can be tested in a line.
"""
