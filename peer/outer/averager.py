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

from peer.network import clock
from peer.outer.all_reduce import AgreeingRunner
from peer.outer.matchmaking import KeptGroups
from peer.outer.shunned import SHUN_SECONDS, Shunned
from peer.outer.traffic import Traffic
from peer.state.anchor import FINE, MEAN_BITS
from peer.state.codec import PART, bits_of, payload_bytes
from peer.wire import MAX_PEERS, Declared, ProtocolViolation, exchange_prefix, parse_value

MATCHMAKING_SECONDS = 4.0  # that a group waits for an expected peer that does not come
MAX_GROUP = MAX_PEERS  # that a group waits for at most
# A peer that sends no part for so long is left out of the first exchange; of a later one, if it sends none for as long
# as the whole exchange before took, but for SHORTEST_TIMEOUT at least.
CHUNK_TIMEOUT = 15.0  # seconds
SHORTEST_TIMEOUT = 3.0  # seconds


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
        return self._begin(gather, float(weight), 3 * patience + 5)

    def _begin(self, gather: dict[str, Any], weight: float, timeout: float) -> StepControl:
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
        self._outer_pipe.send(("_step", [], {"step": control, "future_for_init": taken_on}))
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
        """Wait for as many peers as the best informed of the group expects: notices reach some later than others."""
        if context.remote_id.to_base58() in self._shunned:
            yield averaging_pb2.MessageFromLeader(code=averaging_pb2.NOT_LOOKING_FOR_GROUP)
            return
        with suppress(Exception):  # it is complained of where it would be used
            declared = parse_value(Declared, self.serializer.loads(self.serializer.loads(request.gather)[2]))
            if request.schema_hash == self._matchmaking.schema_hash:
                size = max(self._matchmaking.target_group_size or 0, declared.group_size)
                self._matchmaking.target_group_size = min(size, MAX_GROUP)
        async for message in super().rpc_join_group(request, context):
            yield message

    def _complain(self, peer: PeerID, what: str) -> None:
        """Shun a peer for what it sent, and tell the training process."""
        self._shunned.add(peer.to_base58(), SHUN_SECONDS)
        self._complaints.put((peer.to_base58(), what))

    async def _step(self, *, step: StepControl, future_for_init: MPFuture) -> None:
        """Tell hivemind's matchmaking which group this exchange is to have, and let it look for that."""
        _, mode, gather = self.serializer.loads(step.data_for_gather)
        wanted = self.serializer.loads(gather)
        matchmaking = self._matchmaking
        if not isinstance(matchmaking.group_key_manager, KeptGroups):
            matchmaking.group_key_manager = KeptGroups(self.dht, self.prefix)
        # peers at another anchor are turned away by hivemind's own schema check
        matchmaking.schema_hash = hashlib.sha256(self.schema_hash + wanted["lineage"].encode()).digest()
        matchmaking.client_mode = mode == AveragingMode.CLIENT.value
        matchmaking.target_group_size = wanted["group_size"]
        matchmaking.min_matchmaking_time = wanted["patience"]
        matchmaking.potential_leaders.min_matchmaking_time = wanted["patience"]
        matchmaking.request_timeout = wanted["patience"] / 2
        matchmaking.potential_leaders.pop_next_leader = self._next_leader
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
        """Return the next peer to ask for a place in its group, none that is shunned."""
        leaders = self._matchmaking.potential_leaders
        while True:
            leader: PeerID = await type(leaders).pop_next_leader(leaders)
            if leader.to_base58() not in self._shunned:
                return leader

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
            traffic=(self._sent, self._received),
            complain=self._complain,
            given=self._given[: payload_bytes(self.size, own_bits)],
            **kwargs,
        )
        self._running_groups[group_id].set_result(runner)
        averages = await self._unless_it_stalls(runner.averages(), 3 * timeout)
        if runner.tensor_part_container.failed_size:
            raise AllreduceException("a peer left in the middle of the exchange")
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

        hivemind's own timeouts miss some faults of two peers at once.
        """
        task = asyncio.ensure_future(work)
        moved, since = -1, time.monotonic()
        while not task.done():
            await asyncio.wait({task}, timeout=patience / 15)
            if self.traffic.total != moved:
                moved, since = self.traffic.total, time.monotonic()
            elif time.monotonic() - since > patience:
                task.cancel()
                raise AllreduceException("the exchange stalled")
        return task.result()
