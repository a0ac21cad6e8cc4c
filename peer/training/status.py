"""What this device's page is told while it trains; see `peer/page/`."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace

from minigpt.checkpoint.manifest import HeldOutLoss, Progress
from minigpt.settings import Settings
from minigpt.sizing import SIZES
from peer.device.power import Rest, Watch
from peer.inner.loop import InnerLoop
from peer.network.handle import Network
from peer.outer.events import RoundClosed
from peer.outer.interface import OuterLoop
from peer.outer.traffic import Traffic
from peer.page.models import Best, KnockNow, LearningNow, LinkNow, RunNow, Snapshot, TextNow, TrafficNow
from peer.page.snapshots import Snapshots, door_now, us
from peer.swarm.household import members
from peer.swarm.knocking import Knock
from peer.training.best_state import BestState
from peer.training.evaluator import Verdict
from peer.training.learnt import Learnt
from peer.training.round_log import RoundLog
from peer.wire import Notice, Role

LOOK_SECONDS = 0.2  # between two looks whether something has changed
LINK_SECONDS = 3.0  # at least, over which the speed of the link is measured


class Link:
    """How much is moved in a second, from how much was moved in all."""

    def __init__(self) -> None:
        self._at, self._moved, self._now = time.monotonic(), Traffic(), LinkNow()

    def speed(self, moved: Traffic) -> LinkNow:
        """Return what was moved in a second lately."""
        now = time.monotonic()
        seconds = now - self._at
        if seconds >= LINK_SECONDS:
            up, down = max(0, moved.sent - self._moved.sent), max(0, moved.received - self._moved.received)
            self._now = LinkNow(up=up / seconds, down=down / seconds)
            self._at, self._moved = now, moved
        return self._now


@dataclass(frozen=True)
class Parts:
    """The parts of a device's training that know what the page is told."""

    inner: InnerLoop
    outer: OuterLoop
    round_log: RoundLog
    learnt: Learnt
    best: BestState | None
    power: Watch
    network: Network


class Status:
    """Tells the page of the training: `poll` in every turn, and what has happened when it has.

    :param me: our notice, as it is before training
    :param texts: that are trained on, and how often each tag stands in them for what was masked
    """

    def __init__(
        self,
        snapshots: Snapshots,
        parts: Parts,
        settings: Settings,
        me: Notice,
        texts: list[TextNow],
        masked: dict[str, int],
    ):
        self._snapshots, self._parts, self._settings = snapshots, parts, settings
        self._me, self._texts, self._masked = me.model_copy(update={"role": Role.TRAINING}), texts, masked
        self._link, self._shares = Link(), dict[str, float]()
        self._verdict: Verdict | None = None
        self._loss: float | None = None  # of the last round
        self._next_look = 0.0

    def round_closed(self, event: RoundClosed) -> None:
        """Take in that a round is over."""
        self._shares = dict(event.shares)
        loss = self._parts.round_log.current.loss
        self._loss = None if math.isnan(loss) else loss

    def judged(self, verdict: Verdict) -> None:
        """Take in what was found of a state."""
        before = self._verdict
        if verdict.right_share is None and before is not None:
            verdict = replace(verdict, right_share=before.right_share)
        if verdict.held_out is not None:
            self._verdict = verdict

    def poll(self, rest: Rest | None) -> None:
        """Leave a snapshot where its time has come; never waits, and looks a few times a second only."""
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + LOOK_SECONDS
        others = self._parts.outer.others
        self._snapshots.company.update(others, time.time())
        change = (
            self._parts.outer.progress.round,
            None if rest is None else rest.why,
            self._parts.learnt.judgement,
            self._verdict,
            tuple((notice.peer, notice.paused) for notice in others),
            self._parts.network.view.locked,
            self._parts.network.view.ejected,
            self._parts.network.view.outside.number,
            self._parts.network.view.household,
            tuple(knock.peer for knock in self._parts.network.view.knocks),
        )
        self._snapshots.poll(change, lambda: self._snapshot(rest))

    def _snapshot(self, rest: Rest | None) -> Snapshot:
        traffic, view = self._parts.outer.traffic, self._parts.network.view
        me = self._me.model_copy(update={"peer": self._parts.network.peer})
        role = "ejected" if view.ejected else str(me.role)
        own = us(me, role, self._snapshots.started)
        own = own.model_copy(
            update={
                "tokens_per_second": 0.0 if rest is not None else self._parts.round_log.current.tokens_per_second,
                "share": self._shares.get(own.peer),
                "paused": "" if rest is None else rest.why,
                "battery": self._parts.power.reading.battery,
                "bytes_up": traffic.sent,
                "bytes_down": traffic.received,
            }
        )
        return Snapshot(
            device=self._snapshots.device(me, role, self._parts.network.address.host, self._parts.power.reading, rest),
            run=self._run(),
            learning=self._learning(),
            peers=self._snapshots.company.rows(own, view.connected, self._shares, members(view.household)),
            texts=self._texts,
            masked=self._masked,
            link=self._link.speed(traffic),
            traffic=TrafficNow(sent=traffic.sent, received=traffic.received),
            door=door_now(view.outside).model_copy(update={"is_ejected": view.ejected}),
            knocks=[knock_now(knock) for knock in view.knocks],
        )

    def _run(self) -> RunNow:
        progress, model = self._parts.outer.progress, self._parts.inner.model
        whole = self._settings.swarm.samples_per_round
        return RunNow(
            name=progress.run,
            id=progress.run_id,
            round=progress.round,
            round_sequences=min(self._parts.outer.round_progress, whole),  # the exchange that ends it may come later
            samples_per_round=whole,
            parameters=model.parameter_count(),
            size=size_name(model.d_model, model.nhead, model.num_layers),
            tokens=progress.samples * model.seq_len,
            is_locked=self._parts.network.view.locked,
            away=self._away(),
        )

    def _away(self) -> list[str]:
        """Return the names of the members of our locked run that are not here."""
        network, view = self._parts.network, self._parts.network.view
        here = {network.peer, *(notice.peer for notice in view.notices)}
        away = [peer for peer in members(view.household) if view.locked and peer not in here]
        return [network.names.get(peer, f"{peer[:8]}…") for peer in away]

    def _learning(self) -> LearningNow:
        current, verdict = self._parts.round_log.current.loss, self._verdict
        loss = self._loss if math.isnan(current) else current
        held_out = None if verdict is None else verdict.held_out
        return LearningNow(
            loss=loss,
            learning_rate=self._parts.inner.lr,
            valid_loss=None if held_out is None else held_out.nats,
            valid_bits_per_byte=None if held_out is None else held_out.bits,
            right_share=None if verdict is None else verdict.right_share,
            best=None if self._parts.best is None else best_of(self._parts.best.kept),
            judgement=self._parts.learnt.judgement,
        )


def knock_now(knock: Knock) -> KnockNow:
    """Return a knock as the page shows it, with the time on the wall."""
    since = time.time() - (time.monotonic() - knock.since)
    return KnockNow(name=knock.name, peer=knock.peer, number=knock.number, host=knock.host, since=since)


def best_of(kept: tuple[Progress, HeldOutLoss] | None) -> Best | None:
    """Return the best state as the page shows it."""
    return None if kept is None else Best(round=kept[0].round, bits_per_byte=kept[1].bits)


def size_name(d_model: int, nhead: int, num_layers: int) -> str:
    """Return what a size is called, "small" or the like; where it has no name, its three numbers."""
    for name, size in SIZES.items():
        if (size.d_model, size.nhead, size.num_layers) == (d_model, nhead, num_layers):
            return name
    return f"{d_model}/{nhead}/{num_layers}"
