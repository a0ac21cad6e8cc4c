"""The exchange on the wire: hivemind's averager, taught to form the group of one round and to agree bit for bit.

hivemind's butterfly all-reduce (Moshpit SGD, arXiv 2103.03239) gives every peer (mean - own) through a lossy codec, so
peers end up close, but not equal. Here a reducer encodes the mean once and everybody, the reducer included, decodes the
same bytes: anchors stay equal on all peers and a hash shows it. A peer whose exchange lacks any slice fails as a whole
and changes nothing, instead of keeping its own values there in silence.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import multiprocessing as mp
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Any

import torch
from hivemind import DHT
from hivemind.averaging import DecentralizedAverager
from hivemind.averaging.allreduce import AllReduceRunner
from hivemind.averaging.control import StepControl
from hivemind.averaging.group_info import GroupInfo
from hivemind.averaging.partition import AllreduceException, BannedException
from hivemind.compression import Float16Compression, deserialize_torch_tensor
from hivemind.proto import averaging_pb2, runtime_pb2
from hivemind.utils import MPFuture
from hivemind.utils.asyncio import aiter_with_timeout, amap_in_executor, attach_event_on_finished

MATCHMAKING_SECONDS = 4.0  # how long a group waits for an expected peer that does not come
CHUNK_TIMEOUT = 15.0  # a peer that sends no part of a tensor for so long is left out of the exchange


class AgreeingRunner(AllReduceRunner):
    """One all-reduce in which every peer ends with the same bits; see the module's docstring.

    :param weights: the weight each peer declared when the group was formed; what it sends must carry the same
    :param traffic: counters of payload bytes sent and received, shared with the training process
    """

    def __init__(self, *, weights: Sequence[float], traffic: tuple[Any, Any], **kwargs: Any):
        super().__init__(**kwargs)
        self.tensor_part_container.return_deltas = False  # parts of the result are averages, not differences
        self._weights = dict(zip(self.ordered_peer_ids, weights))
        self._traffic = traffic
        self._encoded: dict[int, asyncio.Future[runtime_pb2.Tensor]] = {}

    def _count(self, *, sent: int = 0, received: int = 0) -> None:
        self._traffic[0].value += sent
        self._traffic[1].value += received

    async def _encode(self, part_index: int, average: torch.Tensor) -> runtime_pb2.Tensor:
        """The average of one of our parts as bytes, made once for all peers."""
        if part_index not in self._encoded:
            _, info = self.tensor_part_container._input_parts_by_peer[self._own_index][part_index]
            compress = self.tensor_part_container.compression.compress
            loop = asyncio.get_running_loop()
            self._encoded[part_index] = loop.run_in_executor(None, compress, average, info)
        return await asyncio.shield(self._encoded[part_index])

    @property
    def _own_index(self) -> int:
        return self.ordered_peer_ids.index(self.peer_id)

    async def _communicate_with_peer(self, peer_id: Any) -> None:
        """Take the averages of one reducer's share, each part checked; without all of them the exchange fails."""
        index = self.ordered_peer_ids.index(peer_id)
        container = self.tensor_part_container
        expected = [part.shape for part, _ in container._input_parts_by_peer[index]]
        part_index = 0
        try:
            averages = self._reduce_own_share() if peer_id == self.peer_id else self._ask_reducer(peer_id, index)
            async for average in averages:
                if part_index >= len(expected) or average.shape != expected[part_index]:
                    raise AllreduceException(f"{peer_id} sent a part of another shape than asked for")
                if not bool(average.isfinite().all()):
                    raise AllreduceException(f"{peer_id} sent numbers that are not finite")
                container.register_processed_part(index, part_index, average)
                part_index += 1
            if part_index != len(expected):
                raise AllreduceException(f"{peer_id} sent {part_index} of {len(expected)} parts")
        except BaseException:
            container.register_failed_reducer(index)
            raise

    async def _reduce_own_share(self) -> AsyncIterator[torch.Tensor]:
        """Of our own share we are the reducer, and decode what the others do."""
        sender = self.sender_peer_ids.index(self.peer_id)
        for part_index, part in enumerate(self.parts_for_local_averaging):
            average = await self.tensor_part_reducer.accumulate_part(sender, part_index, part, weight=self.weight)
            yield deserialize_torch_tensor(await self._encode(part_index, average))

    async def _ask_reducer(self, peer_id: Any, index: int) -> AsyncIterator[torch.Tensor]:
        """Send a reducer its share of our tensors, and give out the averages as they come."""
        done_sending = asyncio.Event()
        inputs = attach_event_on_finished(self._generate_input_for_peer(index), done_sending)
        stream = await self._get_peer_stub(peer_id).rpc_aggregate_part(inputs)
        if self.should_delay_results(self.peer_id):
            await done_sending.wait()
        async for average, size in amap_in_executor(
            _decode_average,
            aiter_with_timeout(stream, self.reducer_timeout),
            max_prefetch=self.tensor_part_container.prefetch,
        ):
            self._count(received=size)
            yield average

    async def _generate_input_for_peer(self, peer_index: int) -> AsyncIterator[averaging_pb2.AveragingData]:
        async for message in super()._generate_input_for_peer(peer_index):
            self._count(sent=len(message.tensor_part.buffer))
            yield message

    async def _accumulate_parts_streaming(
        self, stream: AsyncIterator[averaging_pb2.AveragingData], sender_index: int
    ) -> AsyncIterator[averaging_pb2.AveragingData]:
        """Take one sender's parts as they come, check them, and answer each with the encoded average."""
        reducer, sender = self.tensor_part_reducer, self.sender_peer_ids[sender_index]
        part_index = 0
        try:
            async for part, weight, size in amap_in_executor(
                _decode_input, stream, max_prefetch=self.tensor_part_container.prefetch
            ):
                self._count(received=size)
                if part_index >= reducer.num_parts or part.shape != reducer.part_shapes[part_index]:
                    raise AllreduceException(f"{sender} sent a part of another shape than ours")
                if weight != self._weights[sender] or not bool(part.isfinite().all()):
                    raise AllreduceException(f"{sender} sent numbers that are not finite, or another weight")
                try:
                    # shielded, for all senders wait for one future: the end of one's stream must not cancel it
                    accumulate = reducer.accumulate_part(sender_index, part_index, part, weight=weight)
                    average = await asyncio.shield(accumulate)
                except BannedException:
                    break
                encoded = await self._encode(part_index, average)
                part_index += 1
                self._count(sent=len(encoded.buffer))
                yield averaging_pb2.AveragingData(code=averaging_pb2.AVERAGED_PART, tensor_part=encoded)
        finally:
            if part_index != reducer.num_parts:
                await self._ban_sender(sender)


class RoundAverager(DecentralizedAverager):
    """Averages buffers of (anchor - parameters) among the peers that stand at the same round and anchor.

    Runs in a child process; `exchange` returns at once. Handlers carry the class name, so all peers need this class.

    :param tensors: float32 CPU tensors, the buffers; moved to shared memory and overwritten by the mean
    :param prefix: the run id; peers of other runs never meet
    """

    def __init__(self, tensors: Sequence[torch.Tensor], dht: DHT, prefix: str):
        self._sent, self._received = mp.Value("Q", 0), mp.Value("Q", 0)
        interrupt = signal.getsignal(signal.SIGINT)
        super().__init__(
            tensors,
            dht,
            start=False,
            prefix=prefix,
            min_matchmaking_time=MATCHMAKING_SECONDS,
            request_timeout=MATCHMAKING_SECONDS / 2,
            sender_timeout=CHUNK_TIMEOUT,
            reducer_timeout=2 * CHUNK_TIMEOUT,
            compression=Float16Compression(),
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

    def exchange(self, *, round: int, anchor: str, samples: int, group_size: int, patience: float) -> StepControl:
        """Average the buffers with up to `group_size` peers at the same round and anchor, in the background.

        :param samples: sequences behind our buffers, their weight in the mean (0 is allowed: only take)
        :param patience: seconds to wait for expected peers that do not come; the group starts as soon as it is full
        :returns: a future of {peer id: {"samples": …}}; it fails where no group or no whole result came together
        """
        gather = {
            "round": round,
            "anchor": anchor,
            "samples": samples,
            "group_size": group_size,
            "patience": patience,
        }
        return self.step(
            gather=gather, weight=float(samples), timeout=3 * patience + 5, allow_retries=False, wait=False
        )

    # ------------------------------------------------------------------ in the child process

    async def _step(self, *, step: StepControl, future_for_init: MPFuture) -> None:
        """Point hivemind's matchmaking at the group of this round before it looks for it."""
        _, _, gather = self.serializer.loads(step.data_for_gather)
        wanted = self.serializer.loads(gather)
        matchmaking = self._matchmaking
        # peers of another round or anchor are turned away by hivemind's own schema check
        token = f"{wanted['round']}:{wanted['anchor']}".encode()
        matchmaking.schema_hash = hashlib.sha256(self.schema_hash + token).digest()
        matchmaking.target_group_size = wanted["group_size"]
        matchmaking.min_matchmaking_time = wanted["patience"]
        matchmaking.potential_leaders.min_matchmaking_time = wanted["patience"]
        matchmaking.request_timeout = wanted["patience"] / 2
        try:
            await super()._step(step=step, future_for_init=future_for_init)
        except Exception as error:  # the future carries it already; a background task must not print a traceback
            logging.getLogger(__name__).debug("exchange failed: %r", error)

    async def _run_allreduce_inplace_(
        self, tensors: Sequence[torch.Tensor], group_info: GroupInfo, group_id: bytes | None = None, **kwargs: Any
    ) -> None:
        group_id = group_info.group_id if group_id is None else group_id
        declared = [self.serializer.loads(self.serializer.loads(item)[2]) for item in group_info.gathered]
        weights = [float(item["samples"]) for item in declared]
        if not all(math.isfinite(weight) and weight >= 0 for weight in weights) or sum(weights) <= 0:
            raise AllreduceException(f"weights {weights} cannot be averaged with")
        runner = AgreeingRunner(
            p2p=self._p2p,
            servicer_type=type(self),
            prefix=self.prefix,
            tensors=tensors,
            group_id=group_id,
            ordered_peer_ids=group_info.peer_ids,
            weights=weights,
            traffic=(self._sent, self._received),
            **kwargs,
        )
        self._running_groups[group_id].set_result(runner)
        averages = await self._unless_it_stalls(_collect(runner))
        if runner.tensor_part_container.failed_size:
            raise AllreduceException("a peer left in the middle of the exchange")
        for tensor, average in zip(tensors, averages):
            tensor.copy_(average)

    async def _unless_it_stalls(self, work: Awaitable[list[torch.Tensor]]) -> list[torch.Tensor]:
        """The result of an all-reduce whose bytes keep moving; hivemind's own timeouts miss some double faults."""
        task = asyncio.ensure_future(work)
        moved, since = -1, time.monotonic()
        while not task.done():
            await asyncio.wait({task}, timeout=CHUNK_TIMEOUT / 5)
            if self.bytes_sent + self.bytes_received != moved:
                moved, since = self.bytes_sent + self.bytes_received, time.monotonic()
            elif time.monotonic() - since > 3 * CHUNK_TIMEOUT:
                task.cancel()
                raise AllreduceException("the exchange stalled")
        return task.result()


async def _collect(runner: AgreeingRunner) -> list[torch.Tensor]:
    return [average async for average in runner]


def _decode_average(message: averaging_pb2.AveragingData) -> tuple[torch.Tensor, int]:
    if message.code != averaging_pb2.AVERAGED_PART:
        raise AllreduceException(f"a reducer answered {averaging_pb2.MessageCode.Name(message.code)}")
    return deserialize_torch_tensor(message.tensor_part).detach(), len(message.tensor_part.buffer)


def _decode_input(message: averaging_pb2.AveragingData) -> tuple[torch.Tensor, float, int]:
    return deserialize_torch_tensor(message.tensor_part).detach(), message.weight, len(message.tensor_part.buffer)
