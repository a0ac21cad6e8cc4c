"""Going back to the last state of this device's own, from before it took one of others, where its owner says so."""

from __future__ import annotations

import time

from minigpt import checkpoint
from minigpt.checkpoint import Checkpoint
from minigpt.checkpoint.manifest import CheckpointError, Standing
from peer.device.display import Display
from peer.device.event_log import KnownLine
from peer.device.wishes import GO_BACK, Wishes
from peer.inner.loop import InnerLoop
from peer.network import clock
from peer.outer.events import CaughtUp
from peer.outer.interface import OuterLoop
from peer.state.earlier import EarlierStates, Taking, WentBack
from peer.training.saver import Saver


class GoingBack:
    """Keeps our own state whenever one of others is taken, and returns to it when that is wished for.

    :param states: that are kept
    """

    def __init__(
        self,
        inner: InnerLoop,
        outer: OuterLoop,
        saver: Saver,
        states: EarlierStates,
        wishes: Wishes,
        display: Display,
    ):
        self._inner, self._outer, self._saver = inner, outer, saver
        self._states, self._wishes, self._display = states, wishes, display

    def keep(self, event: CaughtUp) -> None:
        """Keep our own state from before a newer one was taken, a moment ago."""
        taking = Taking(donor=event.donor, peer=event.peer, time=clock.now())
        try:
            self._states.keep(self._outer.progress.run_id, event.before, taking)
        except OSError as error:
            self._display.note(f"the state of before is not kept ({error.strerror}): --go-back goes further back")

    def poll(self) -> bool:
        """Go back, where that was wished for and can be done now; return whether it was done."""
        if not self._wishes.take(GO_BACK):
            return False
        self._saver.finish()  # else it might write a state that is given up after we have put those away
        for folder, taking in self._states.all():
            try:
                return self._return_to(checkpoint.read(folder), taking)
            except CheckpointError as error:
                self._display.note(f"an earlier state cannot be gone back to: {error}")
        self._display.note("there is nothing to go back to: training goes on as it was")
        return False

    def _return_to(self, state: Checkpoint, taking: Taking) -> bool:
        """Go on from an earlier state; return whether that can be done now. Raise CheckpointError."""
        parameters, position = state.parameters(), state.position()
        ordered = [parameters[name] for name, _ in self._inner.model.named_parameters()]
        standing = position.standing if position is not None else Standing()
        went_back = WentBack(time=clock.now(), taken=taking.time, donor=taking.peer)
        if not self._outer.return_to(ordered, state.progress, standing, went_back):
            self._wishes.ask_once(GO_BACK)  # as soon as the exchange that is under way is over
            return False
        self._load_moments(state)
        try:
            went_back.write(self._states.run_folder)
            self._states.used(state.folder, state.progress)
        except OSError as error:
            self._display.note(f"what was given up is still on the disk ({error.strerror}): a start may go on from it")
        self._saver.save(wait=True)
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(taking.time))
        text = (
            f"went back to round {state.progress.round}, from before the state of {taking.donor} was taken ({since}); "
            "newer states are taken again from devices that have gone back as well: python -m peer --go-back there"
        )
        self._display.note(KnownLine(text, "went_back", round=state.progress.round, name=taking.donor, since=since))
        return True

    def _load_moments(self, state: Checkpoint) -> None:
        try:
            moments = state.optimizer()
        except CheckpointError as error:
            self._display.note(f"{error}; the optimizer begins anew, and training goes on")
            return
        if moments is not None:
            self._inner.load_moments(moments, state.progress.updates)
