"""The exchange on the wire: hivemind's averager, taught to form the group of one anchor and to agree bit for bit.

hivemind's butterfly all-reduce (Moshpit SGD, arXiv 2103.03239) gives every peer (mean - own) through a lossy codec, so
peers end up close, but not equal. Here what is given and the mean of it travel as the payloads of
`peer/state/codec.py`: a reducer encodes the mean once, and everybody ends with the same bytes. Where any part of the
mean does not come, the exchange fails as a whole and changes nothing; hivemind would keep the peer's own values there,
in silence.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import multiprocessing as mp
import signal
import time
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, AsyncIterator  # noqa: UP035 -- hivemind tells streams by typing's name

import torch
from hivemind import DHT
from hivemind.averaging import DecentralizedAverager
from hivemind.averaging.allreduce import AveragingMode
from hivemind.averaging.control import StepControl
from hivemind.averaging.group_info import GroupInfo
from hivemind.averaging.partition import AllreduceException
from hivemind.p2p import P2PContext, PeerID
from hivemind.proto import averaging_pb2
from hivemind.utils import MPFuture
from hivemind.utils.asyncio import cancel_and_wait

from peer.network import clock
from peer.outer.all_reduce import AgreeingRunner
from peer.outer.leaders import Company, Following, StallingLeaders
from peer.outer.matchmaking import KeptGroups
from peer.outer.shunned import SHUN_SECONDS, Shunned
from peer.outer.traffic import Traffic
from peer.state.agreement import Agreement, Look
from peer.state.anchor import FINE, MEAN_BITS
from peer.state.answers import Answers
from peer.state.codec import PART, bits_of, payload_bytes
from peer.swarm.grouping import full_group
from peer.wire import MAX_PEERS, Declared, ProtocolViolation, exchange_prefix, parse_value

MATCHMAKING_SECONDS = 4.0  # that a group waits for an expected peer that does not come
LOOK_SECONDS = 0.25  # between two looks at a group that does not begin
MAX_GROUP = MAX_PEERS  # that a group waits for at most
# A peer that sends no part for so long is left out of the first exchange; of a later one, if it sends none for as long
# as the whole exchange before took, but for SHORTEST_TIMEOUT at least.
CHUNK_TIMEOUT = 15.0  # seconds
SHORTEST_TIMEOUT = 3.0  # seconds
TIMEOUTS = 3  # that an exchange in which nothing moves is given


@dataclass(frozen=True)
class Reduced:
    """What a device has seen of the others in an exchange."""

    group: list[str]  # peer ids, its own among them
    has_judged: bool  # it has reduced a part of it, in which more than chance can be seen
    at_odds: frozenset[str]
    look: Look | None  # at what two gave
    wrong: frozenset[str]  # the reducers that answered with what is no mean of what this device gave


class PseudoGradientAverager(DecentralizedAverager):
    """Averages what peers at the same anchor give, in a child process; `exchange` returns at once.

    The class name is part of the handlers' names on the wire: whoever renames it talks to no older device.

    hivemind gives its averager no public hook for who may come into a group, how long a group waits, or what runs the
    all-reduce. So this class overrides `_step`, `_run_allreduce_inplace_` and `_shutdown`, turns the screws of
    `_matchmaking`, and has `_begin` in the place of `step` (all as of hivemind 1.1.12).

    :param size: how many numbers there are to average, a multiple of PART
    :param prefix: the run id; peers of other runs, or of another version of the protocol, never meet
    """

    def __init__(self, size: int, dht: DHT, prefix: str):
        self.size = size
        self._given = torch.zeros(payload_bytes(size, FINE), dtype=torch.uint8).share_memory_()
        # without locks, for the child alone writes them: one that is killed would leave them locked for ever
        self._sent, self._received = mp.Value("Q", 0, lock=False), mp.Value("Q", 0, lock=False)
        self._processor_seconds, self._seconds = mp.Value("d", 0.0, lock=False), mp.Value("d", 0.0, lock=False)
        self._complaints: mp.SimpleQueue[tuple[str, str]] = mp.SimpleQueue()
        self._shunned = Shunned()  # in the child process
        self._searches: set[asyncio.Task[Any] | None] = set()  # for groups, in the child process
        self._stalling = StallingLeaders()  # in the child process
        self._agreement, self._answers = Agreement(), Answers()  # in the child process
        self._reduced: mp.SimpleQueue[Reduced] = mp.SimpleQueue()
        # in the child process, of the exchange at hand: the others, and how many peers the best informed expects
        self._company, self._expected = Company(*(frozenset[str](),) * 3, most=1), 0
        self._has_left = False  # a leader that did not begin
        interrupt = signal.getsignal(signal.SIGINT)
        super().__init__(
            [torch.zeros(payload_bytes(size, MEAN_BITS[FINE]), dtype=torch.uint8)],
            dht,
            start=False,
            prefix=exchange_prefix(prefix),
            min_matchmaking_time=MATCHMAKING_SECONDS,
            request_timeout=MATCHMAKING_SECONDS / 2,
            sender_timeout=CHUNK_TIMEOUT,
            reducer_timeout=2 * CHUNK_TIMEOUT,
            allow_state_sharing=False,
            client_mode=False,
            shutdown_timeout=2,
        )
        try:
            self.run_in_background(await_ready=True, timeout=60)
        finally:
            signal.signal(signal.SIGINT, interrupt)  # hivemind sets it to be ignored in our process

    @property
    def traffic(self) -> Traffic:
        """The payload bytes of all exchanges so far, without the transport's own overhead."""
        return Traffic(int(self._sent.value), int(self._received.value))

    @property
    def processor_seconds(self) -> float:
        """The processor's time that all exchanges so far, of those that came about, have cost in the child process."""
        return float(self._processor_seconds.value)

    @property
    def seconds(self) -> float:
        """The seconds that the last successful exchange took once its group was there; 0 before the first."""
        return float(self._seconds.value)

    def exchange(
        self,
        given: torch.Tensor,
        *,
        lineage: str,
        samples: int,
        weight: int,
        steps: int,
        group_size: int,
        patience: float,
        company: Company,
        reachable: bool = True,
    ) -> StepControl:
        """Begin to average what is given with up to `group_size` peers at the same anchor.

        Return a future of what each peer declared, {peer id: {"samples": …, "weight": …, "steps": …, "bits": …}}; it
        fails where no group came together, or no whole mean, and is cancelled where the child has died.

        :param given: the payload of it
        :param lineage: of the anchor that it was given at
        :param samples: sequences behind it
        :param weight: those of them that weigh in the mean: not those trained apart, while others trained as much;
            with 0 we only take
        :param steps: in which the sequences that weigh were trained
        :param patience: seconds to wait for expected peers that do not come; the group starts as soon as it is full
        :param company: who may lead us, and who is waited for
        :param reachable: whether others can open a connection to us; else we come to somebody else's group, and others
            are the reducers
        """
        self._given[: len(given)].copy_(given)
        gather = {
            "bits": bits_of(len(given), self.size),
            "lineage": lineage,
            "samples": samples,
            "weight": weight,
            "steps": steps,
            "group_size": group_size,
            "patience": patience,
        }
        self.mode = AveragingMode.NODE if reachable else AveragingMode.CLIENT
        return self._begin(gather, float(weight), 3 * patience + 5, company)

    def _begin(self, gather: dict[str, Any], weight: float, timeout: float, company: Company) -> StepControl:
        """Begin an exchange as hivemind's `step` does, but do not wait for ever for a child that has died.

        Then the exchange is cancelled.
        """
        said = self.serializer.dumps([self.bandwidth, self.mode.value, self.serializer.dumps(gather)])
        control = StepControl(
            scheduled_time=clock.now() + MATCHMAKING_SECONDS,
            deadline=clock.now() + timeout,
            allow_retries=False,
            weight=weight,
            data_for_gather=said,
        )
        taken_on: MPFuture = MPFuture()
        self._outer_pipe.send(("_step", [], {"step": control, "future_for_init": taken_on, "company": company}))
        while True:
            try:
                control.attach(*taken_on.result(timeout=0.5))
                control.allow_allreduce()
                return control
            except TimeoutError:
                if not self.is_alive():
                    control.attach(MPFuture(), MPFuture())  # which it must not be deleted without
                    control.cancel()
                    return control

    def complaints(self) -> list[tuple[str, str]]:
        """Return the peers that sent what cannot be, and what it was, since this was last called.

        No group of ours has them for SHUN_SECONDS.
        """
        complaints = []
        while not self._complaints.empty():
            complaints.append(self._complaints.get())
        return complaints

    def reduced(self) -> list[Reduced]:
        """Return what was seen in the exchanges since this was last called."""
        reduced = []
        while not self._reduced.empty():
            reduced.append(self._reduced.get())
        return reduced

    def shun(self, peer: str, seconds: float) -> None:
        """Let no group of ours have a peer for so long."""
        self._outer_pipe.send(("_shun", [peer, seconds], {}))

    def mean(self, gathered: Iterable[Mapping[str, Any]]) -> torch.Tensor:
        """Return the payload of the mean that an exchange came to, which is valid until the next one ends.

        :param gathered: what each of its peers declared
        """
        with self.get_tensors() as (mean,):
            return mean[: payload_bytes(self.size, MEAN_BITS[min(given["bits"] for given in gathered)])]

    # ------------------------------------------------------------------ in the child process

    async def rpc_join_group(
        self, request: averaging_pb2.JoinRequest, context: P2PContext
    ) -> AsyncIterator[averaging_pb2.MessageFromLeader]:
        """Wait for as many peers as the best informed of the group expects: notices reach some later than others.

        But for no more than can come as far as we know: who expects more may have made that up. A stranger's word does
        not count.
        """
        if context.remote_id.to_base58() in self._shunned:
            yield averaging_pb2.MessageFromLeader(code=averaging_pb2.NOT_LOOKING_FOR_GROUP)
            return
        with suppress(Exception):  # it is complained of where it would be used
            declared = parse_value(Declared, self.serializer.loads(self.serializer.loads(request.gather)[2]))
            is_believed = context.remote_id.to_base58() in self._company.leaders
            if is_believed and request.schema_hash == self._matchmaking.schema_hash:
                self._expected = max(self._expected, declared.group_size)
        async for message in super().rpc_join_group(request, context):
            yield message

    def _reasons_to_reject(self, request: averaging_pb2.JoinRequest, context: P2PContext) -> Any:
        """Refuse a peer as hivemind does, but let nobody take the place of those that are waited for.

        hivemind asks this with its lock held, just before it counts whether the group is full.
        """
        matchmaking = self._matchmaking
        there = {peer.to_base58() for peer in (*matchmaking.current_followers, context.remote_id)}
        expected = min(self._expected, self._company.most)
        matchmaking.target_group_size = min(MAX_GROUP, full_group(self._company.awaited, there, expected))
        return type(matchmaking)._check_reasons_to_reject(matchmaking, request, context)

    async def _shun(self, peer: str, seconds: float) -> None:
        self._shunned.add(peer, seconds)

    def _complain(self, peer: PeerID, what: str) -> None:
        """Shun a peer for what it sent, and tell the training process."""
        self._shunned.add(peer.to_base58(), SHUN_SECONDS)
        self._complaints.put((peer.to_base58(), what))

    async def _step(self, *, step: StepControl, future_for_init: MPFuture, company: Company) -> None:
        """Tell hivemind's matchmaking which group this exchange is to have, and let it look for that."""
        shunned = frozenset(peer for peer in company.everybody if peer in self._shunned)
        self._company, self._expected = company.without(self._stalling.now | shunned), 0
        self._has_left = False
        _, mode, gather = self.serializer.loads(step.data_for_gather)
        wanted = self.serializer.loads(gather)
        matchmaking = self._matchmaking
        if not isinstance(matchmaking.group_key_manager, KeptGroups):
            matchmaking.group_key_manager = KeptGroups(self.dht, self.prefix)
        # peers at another anchor are turned away by hivemind's own schema check
        matchmaking.schema_hash = hashlib.sha256(self.schema_hash + wanted["lineage"].encode()).digest()
        matchmaking.client_mode = mode == AveragingMode.CLIENT.value
        matchmaking.target_group_size = full_group(self._company.awaited, (), 0)
        matchmaking.min_matchmaking_time = wanted["patience"]
        matchmaking.potential_leaders.min_matchmaking_time = wanted["patience"]
        matchmaking.request_timeout = wanted["patience"] / 2
        matchmaking._check_reasons_to_reject = self._reasons_to_reject
        matchmaking.potential_leaders.pop_next_leader = self._next_leader
        matchmaking._request_join_group = self._ask_for_a_place
        matchmaking.look_for_group = self._look_for_group
        try:
            await super()._step(step=step, future_for_init=future_for_init)
        except Exception as error:  # the future has it already, and the traceback of a background task is printed
            logging.getLogger(__name__).debug("exchange failed: %r", error)

    async def _look_for_group(self, step: StepControl) -> GroupInfo | None:
        """Look for a group as hivemind does, and keep the task out of the garbage collector's reach meanwhile.

        A search that is cancelled still tells the DHT so, and nobody else holds the task while it waits for that.
        """
        task = asyncio.current_task()
        self._searches.add(task)
        try:
            return await type(self._matchmaking).look_for_group(self._matchmaking, step)
        finally:
            self._searches.discard(task)

    async def _next_leader(self) -> PeerID:
        """Return the next peer to ask for a place in its group: one that may lead us, and is not shunned."""
        leaders = self._matchmaking.potential_leaders
        while True:
            leader: PeerID = await type(leaders).pop_next_leader(leaders)
            if self._may_lead(leader):
                return leader

    def _may_lead(self, peer: PeerID) -> bool:
        return peer.to_base58() in self._company.leaders and peer.to_base58() not in self._shunned

    async def _ask_for_a_place(self, leader: PeerID) -> GroupInfo | None:
        """Ask a peer for a place in its group, and wait until it begins; None where nothing came of it.

        hivemind waits as long as the leader likes. We leave one that does not begin, and for a while it neither leads
        us nor is waited for.
        """
        matchmaking = self._matchmaking
        if not self._may_lead(leader):  # another leader has sent us there
            return None
        request = asyncio.create_task(type(matchmaking)._request_join_group(matchmaking, leader))
        try:
            following = Following(self._company.everybody, self.seconds)
            while not request.done():
                await asyncio.wait({request}, timeout=LOOK_SECONDS)
                if matchmaking.current_leader != leader or not following.is_worth_a_look:
                    continue
                looking = await self._looking()
                if not request.done() and following.is_to_be_left(looking):
                    self._leave(leader.to_base58())
                    return None
            group: GroupInfo | None = request.result()
        finally:
            await cancel_and_wait(request)
        if group is None and self._has_left:  # it may be about to leave the same leader: it is asked again
            attempts = matchmaking.potential_leaders.past_attempts
            attempts.difference_update([attempt for attempt in attempts if attempt[0] == leader])
        return group

    def _leave(self, leader: str) -> None:
        """Go on without a leader that does not begin."""
        self._has_left = True
        self._stalling.add(leader)
        self._company = self._company.without([leader])

    async def _looking(self) -> set[str]:
        """Return the peer ids of those that look for a group."""
        groups = self._matchmaking.group_key_manager
        found = await groups.get_averagers(groups.current_key, only_active=True)
        return {peer.to_base58() for peer, _ in found}

    async def _shutdown(self, timeout: float | None) -> None:
        """End exchanges in flight, then all the rest as hivemind does.

        hivemind's own takes the future of an exchange in flight for the exchange itself, and fails.
        """
        for group in self._running_groups.values():
            if group.done() and not group.cancelled():
                group.result().finalize(cancel=True)
        self._running_groups.clear()
        await super()._shutdown(timeout)

    async def _run_allreduce_inplace_(
        self, tensors: Sequence[torch.Tensor], group_info: GroupInfo, group_id: bytes | None = None, **kwargs: Any
    ) -> None:
        """Run one exchange with the group that was found, and leave the payload of the mean in `tensors`.

        Raise AllreduceException where not all of the mean came, and ProtocolViolation for what a peer sent.
        """
        before, began = time.process_time(), time.monotonic()
        group_id = group_info.group_id if group_id is None else group_id
        declared = [self._declared(*said) for said in zip(group_info.peer_ids, group_info.gathered)]
        weights, bits = [float(item.weight) for item in declared], [item.bits for item in declared]
        if sum(weights) <= 0:
            raise AllreduceException("nobody in this group gives anything")
        mean_bits = MEAN_BITS[min(bits)]
        tensors = [tensor[: payload_bytes(self.size, mean_bits)] for tensor in tensors]
        own_bits = bits[group_info.peer_ids.index(self.peer_id)]
        kwargs["part_size_bytes"] = payload_bytes(PART, mean_bits)
        timeout = min(CHUNK_TIMEOUT, max(SHORTEST_TIMEOUT, self.seconds)) if self.seconds else CHUNK_TIMEOUT
        kwargs.update(sender_timeout=timeout, reducer_timeout=2 * timeout)
        runner = AgreeingRunner(
            p2p=self._p2p,
            servicer_type=type(self),
            prefix=self.prefix,
            tensors=tensors,
            group_id=group_id,
            ordered_peer_ids=group_info.peer_ids,
            weights=weights,
            bits=bits,
            steps=[item.steps for item in declared],
            agreement=self._agreement,
            answers=self._answers,
            traffic=(self._sent, self._received),
            complain=self._complain,
            given=self._given[: payload_bytes(self.size, own_bits)],
            **kwargs,
        )
        self._agreement.begin()
        self._running_groups[group_id].set_result(runner)
        averages = await self._unless_it_stalls(runner.averages(), TIMEOUTS * timeout)
        group = [peer.to_base58() for peer in group_info.peer_ids]
        wrong = frozenset(peer.to_base58() for peer in runner.wrong)
        seen = self._agreement
        self._reduced.put(Reduced(group, seen.has_judged, seen.out, seen.look, wrong))
        if runner.tensor_part_container.failed_size:
            raise AllreduceException("a peer left in the middle of the exchange")
        if wrong:
            raise AllreduceException("part of the mean is none of what this device gave")
        for tensor, average in zip(tensors, averages):
            tensor.copy_(average)
        self._processor_seconds.value += time.process_time() - before
        self._seconds.value = time.monotonic() - began

    def _declared(self, peer: PeerID, said: bytes) -> Declared:
        """Return what a peer of the group declared. Complain, and raise ProtocolViolation, if it cannot be."""
        try:
            return parse_value(Declared, self.serializer.loads(self.serializer.loads(said)[2]))
        except Exception as error:
            self._complain(peer, "a description of what it gives that cannot be one")
            raise ProtocolViolation(f"{peer} says of itself what cannot be") from error

    async def _unless_it_stalls(self, work: Awaitable[list[torch.Tensor]], patience: float) -> list[torch.Tensor]:
        """Return the result of an all-reduce. Raise AllreduceException if no byte of it moves for `patience` seconds.

        hivemind's own timeouts miss some faults of two peers at once. And who has slept for longer than the others wait
        for a part may find all of the mean in its sockets, while they have gone on without it: then it is not for us.
        """
        task = asyncio.ensure_future(work)
        moved, since, awake = -1, time.monotonic(), clock.now()
        while not task.done():
            await asyncio.wait({task}, timeout=patience / 15)
            slept, awake = clock.now() - awake, clock.now()
            if slept > patience / TIMEOUTS:
                task.cancel()
                raise AllreduceException("this device was asleep in the middle of the exchange")
            if self.traffic.total != moved:
                moved, since = self.traffic.total, time.monotonic()
            elif time.monotonic() - since > patience:
                task.cancel()
                raise AllreduceException("the exchange stalled")
        return task.result()
