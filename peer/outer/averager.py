"""The exchange on the wire: hivemind's averager, taught to form the group of one anchor and to agree bit for bit.

hivemind's butterfly all-reduce (Moshpit SGD, arXiv 2103.03239) gives every peer (mean - own) through a lossy codec, so
peers end up close, but not equal. Here what is given and the mean of it travel as the codes of `peer/state/codec.py`: a
reducer encodes the mean once and everybody ends with the same bytes. A peer whose exchange lacks any part fails as a
whole and changes nothing, instead of keeping its own values there in silence.
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
from hivemind.utils import MPFuture, get_dht_time

from peer.outer.all_reduce import AgreeingRunner, Declared, ProtocolViolation, _collect
from peer.outer.matchmaking import KeptGroups
from peer.state.anchor import FINE, MEAN_BITS
from peer.state.codec import PART, bits_of, payload_bytes
from peer.state.means import MAX_PEERS

MATCHMAKING_SECONDS = 4.0  # how long a group waits for an expected peer that does not come
MAX_GROUP = MAX_PEERS  # that a group waits for at most
CHUNK_TIMEOUT = 15.0  # a peer that sends no part of a tensor for so long is left out of the first exchange,
SHORTEST_TIMEOUT = 3.0  # and of later ones if it sends none for as long as a whole one took before, but at least for so
SHUN_SECONDS = 600.0  # that a peer is in no group of ours after it sent what cannot be


class PseudoGradientAverager(DecentralizedAverager):
    """Averages what peers at the same anchor give.

    Runs in a child process; `exchange` returns at once. Handlers carry the class name, so all peers need this class.

    :param size: how many numbers there are to average, a multiple of PART
    :param prefix: the run id; peers of other runs never meet
    """

    def __init__(self, size: int, dht: DHT, prefix: str):
        self._size = size
        self._given = torch.zeros(payload_bytes(size, FINE), dtype=torch.uint8).share_memory_()
        # without locks, for the child alone writes them: one that is killed would leave them locked for ever
        self._sent, self._received = mp.Value("Q", 0, lock=False), mp.Value("Q", 0, lock=False)
        self._processor_seconds, self._seconds = mp.Value("d", 0.0, lock=False), mp.Value("d", 0.0, lock=False)
        self._complaints: mp.SimpleQueue[tuple[str, str]] = mp.SimpleQueue()
        self._shunned: dict[PeerID, float] = {}  # and until when; in the child process
        self._searches: set[asyncio.Task[Any] | None] = set()  # for groups, in the child process
        interrupt = signal.getsignal(signal.SIGINT)
        super().__init__(
            [torch.zeros(payload_bytes(size, MEAN_BITS[FINE]), dtype=torch.uint8)],
            dht,
            start=False,
            prefix=prefix,
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
    def bytes_sent(self) -> int:
        """Payload bytes this peer's exchanges have sent, without the transport's own overhead."""
        return int(self._sent.value)

    @property
    def bytes_received(self) -> int:
        """Payload bytes this peer's exchanges have received, without the transport's own overhead."""
        return int(self._received.value)

    @property
    def processor_seconds(self) -> float:
        """Processor time that exchanges that came about have cost this peer in the child process."""
        return float(self._processor_seconds.value)

    @property
    def seconds(self) -> float:
        """What the last exchange that succeeded took once its group was there; 0 before the first."""
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
        """Average what is given with up to `group_size` peers at the same anchor, in the background.

        :param given: its code
        :param samples: sequences behind what we give
        :param weight: those of them that weigh in the mean (0 is allowed: only take); not what was trained while we
            were apart, and others trained as much
        :param steps: in which these were trained
        :param patience: seconds to wait for expected peers that do not come; the group starts as soon as it is full
        :param reachable: whether others can open a connection to us; else we come to a group of somebody else's, and
            the parts are put together by others
        :returns: a future of {peer id: {"samples": …, "weight": …, "steps": …, "bits": …}}; it fails where no group or
            no whole result came together, and is cancelled where the child has died
        """
        self._given[: len(given)].copy_(given)
        gather = {
            "bits": bits_of(len(given), self._size),
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
        """hivemind's `step`, which waits for the child for ever (1.1.12): a child that dies cancels the exchange."""
        said = self.serializer.dumps([self.bandwidth, self.mode.value, self.serializer.dumps(gather)])
        control = StepControl(
            scheduled_time=get_dht_time() + MATCHMAKING_SECONDS,
            deadline=get_dht_time() + timeout,
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
        """Who sent nonsense since we last asked, and what it was; no group of ours has them for SHUN_SECONDS."""
        complaints = []
        while not self._complaints.empty():
            complaints.append(self._complaints.get())
        return complaints

    def mean(self, gathered: Iterable[Mapping[str, Any]]) -> torch.Tensor:
        """The code of the mean that such an exchange came to; it stands until the next one ends."""
        with self.get_tensors() as (mean,):
            return mean[: payload_bytes(self._size, MEAN_BITS[min(given["bits"] for given in gathered)])]

    # ------------------------------------------------------------------ in the child process

    async def rpc_join_group(
        self, request: averaging_pb2.JoinRequest, context: P2PContext
    ) -> AsyncIterator[averaging_pb2.MessageFromLeader]:
        """Wait for as many as the best informed of a group expects: notices reach some of us later than others."""
        if self._is_shunned(context.remote_id):
            yield averaging_pb2.MessageFromLeader(code=averaging_pb2.NOT_LOOKING_FOR_GROUP)
            return
        with suppress(Exception):  # what it says of itself is checked where it is used
            wanted = self.serializer.loads(self.serializer.loads(request.gather)[2])["group_size"]
            if request.schema_hash == self._matchmaking.schema_hash:
                size = max(self._matchmaking.target_group_size or 0, wanted)
                self._matchmaking.target_group_size = min(size, MAX_GROUP)
        async for message in super().rpc_join_group(request, context):
            yield message

    def _complain(self, peer: PeerID, what: str) -> None:
        self._shunned[peer] = time.monotonic() + SHUN_SECONDS
        self._complaints.put((peer.to_base58(), what))

    def _is_shunned(self, peer: PeerID) -> bool:
        return self._shunned.get(peer, 0.0) > time.monotonic()

    async def _step(self, *, step: StepControl, future_for_init: MPFuture) -> None:
        """Point hivemind's matchmaking at the group of this round before it looks for it."""
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
        except Exception as error:  # the future carries it already; a background task must not print a traceback
            logging.getLogger(__name__).debug("exchange failed: %r", error)

    async def _look_for_group(self, step: StepControl) -> GroupInfo | None:
        """hivemind's, out of the garbage collector's reach.

        A search that is cancelled tells the DHT, and nobody else holds it while it waits for that.
        """
        task = asyncio.current_task()
        self._searches.add(task)
        try:
            return await type(self._matchmaking).look_for_group(self._matchmaking, step)
        finally:
            self._searches.discard(task)

    async def _next_leader(self) -> PeerID:
        """Whom to ask for a place in a group."""
        leaders = self._matchmaking.potential_leaders
        while True:
            leader: PeerID = await type(leaders).pop_next_leader(leaders)
            if not self._is_shunned(leader):
                return leader

    async def _shutdown(self, timeout: float | None) -> None:
        """hivemind's own, which takes the future of an exchange in flight for the exchange itself, and fails."""
        for group in self._running_groups.values():
            if group.done() and not group.cancelled():
                group.result().finalize(cancel=True)
        self._running_groups.clear()
        await super()._shutdown(timeout)

    async def _run_allreduce_inplace_(
        self, tensors: Sequence[torch.Tensor], group_info: GroupInfo, group_id: bytes | None = None, **kwargs: Any
    ) -> None:
        before, began = time.process_time(), time.monotonic()
        group_id = group_info.group_id if group_id is None else group_id
        declared = [self._declared(*said) for said in zip(group_info.peer_ids, group_info.gathered)]
        weights, bits = [float(item.weight) for item in declared], [item.bits for item in declared]
        if sum(weights) <= 0:
            raise AllreduceException("nobody in this group gives anything")
        mean_bits = MEAN_BITS[min(bits)]
        tensors = [tensor[: payload_bytes(self._size, mean_bits)] for tensor in tensors]
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
            given=self._given[: payload_bytes(self._size, own_bits)],
            **kwargs,
        )
        self._running_groups[group_id].set_result(runner)
        averages = await self._unless_it_stalls(_collect(runner), 3 * timeout)
        if runner.tensor_part_container.failed_size:
            raise AllreduceException("a peer left in the middle of the exchange")
        for tensor, average in zip(tensors, averages):
            tensor.copy_(average)
        self._processor_seconds.value += time.process_time() - before
        self._seconds.value = time.monotonic() - began

    def _declared(self, peer: PeerID, said: bytes) -> Declared:
        """What one in a group has said of itself. Raises ProtocolViolation, and complains, if it cannot be."""
        try:
            return Declared.model_validate(self.serializer.loads(self.serializer.loads(said)[2]))
        except Exception as error:
            self._complain(peer, "a description of what it gives that cannot be one")
            raise ProtocolViolation(f"{peer} says of itself what cannot be") from error

    async def _unless_it_stalls(self, work: Awaitable[list[torch.Tensor]], patience: float) -> list[torch.Tensor]:
        """The result of an all-reduce whose bytes keep moving; hivemind's own timeouts miss some double faults."""
        task = asyncio.ensure_future(work)
        moved, since = -1, time.monotonic()
        while not task.done():
            await asyncio.wait({task}, timeout=patience / 15)
            if self.bytes_sent + self.bytes_received != moved:
                moved, since = self.bytes_sent + self.bytes_received, time.monotonic()
            elif time.monotonic() - since > patience:
                task.cancel()
                raise AllreduceException("the exchange stalled")
        return task.result()
