"""One exchange on the wire: hivemind's butterfly all-reduce, in which every peer ends with the same bytes.

Every peer is the reducer of a share of the numbers. It takes the others' payloads of that share part by part, checks
them, holds them against each other (`peer/state/agreement.py`), and answers each part with the mean's payload, which it
encodes once for all (`peer/state/codec.py`). Everybody holds the answers of the others against what it gave itself
(`peer/state/answers.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, AsyncIterator  # noqa: UP035 -- hivemind tells streams by typing's name

import torch
from hivemind.averaging.allreduce import AllReduceRunner
from hivemind.averaging.partition import AllreduceException, BannedException, TensorPartReducer
from hivemind.p2p import PeerID
from hivemind.proto import averaging_pb2, runtime_pb2
from hivemind.utils.asyncio import aiter_with_timeout, attach_event_on_finished

from peer.state.agreement import Agreement, capped
from peer.state.anchor import LIMIT, MEAN_BITS
from peer.state.answers import Answers
from peer.state.codec import PART, decode, encode, is_valid, payload_bytes
from peer.swarm.grouping import is_quorum
from peer.wire import ProtocolViolation

# Parts and their means that may be on the way at once, both ways together. What is sent waits in one queue with all
# else that a device has to say: at 5 Mbit/s the others took one for gone that had 4 MB of an exchange waiting there.
WINDOW_BYTES = 2**20


class PartsReducer(TensorPartReducer):
    """Brings the senders' payloads of one part together, where hivemind adds up numbers as they come.

    A sender waits for the mean of a part before it sends the next one, so this holds no more than one payload of each.

    :param parts: that this peer is the reducer of
    """

    def __init__(self, parts: int, senders: int):
        self._came: dict[int, dict[int, torch.Tensor]] = {}  # payloads by part and sender
        super().__init__([torch.Size([0])] * parts, senders)  # of which hivemind adds up nothing

    async def gather(self, sender: int, part_index: int, payload: torch.Tensor) -> dict[int, torch.Tensor]:
        """Take one sender's payload of a part; return all that came of it, by sender, once nobody is missing.

        Raise BannedException where the others have gone on without the sender.
        """
        came = self._came.setdefault(part_index, {})
        came[sender] = payload
        try:
            await self.accumulate_part(sender, part_index, torch.empty(0))
        except BannedException:
            came.pop(sender, None)
            raise
        self._came.pop(part_index, None)
        return came


class AgreeingRunner(AllReduceRunner):
    """One all-reduce in which every peer ends with the same bytes; see the module's docstring.

    hivemind has no public way to exchange anything but its own compressed tensors. So this class overrides, as of
    hivemind 1.1.12, the private coroutines that put parts on the wire, take them off it and answer them, and the one
    that goes on without a silent peer. Groups, streams and timeouts remain hivemind's.

    The one tensor of hivemind's container is the payload of the mean, uint8, whose parts it deals out to the reducers.

    :param given: the payload of what this peer gives
    :param bits: each peer's, as it declared when the group was formed; its payloads must have as many a number
    :param weights: each peer's, as it declared then; its messages must carry the same
    :param steps: each peer's, as it declared then
    :param agreement: of this device, about all that it has reduced so far
    :param answers: of this device, about all means so far
    :param traffic: counters of payload bytes sent and received, shared with the training process
    :param complain: called with a peer that sent what cannot be, and what it was
    """

    def __init__(
        self,
        *,
        given: torch.Tensor,
        bits: Sequence[int],
        weights: Sequence[float],
        steps: Sequence[int],
        agreement: Agreement,
        answers: Answers,
        traffic: tuple[Any, Any],
        complain: Callable[[PeerID, str], None],
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        # hivemind's own future of the outcome: `averages` raises what fails, and nobody asks the future; asyncio prints
        # the exception of a future that nobody has asked
        self._future.add_done_callback(lambda future: future.cancelled() or future.exception())
        self.tensor_part_container.return_deltas = False  # parts of the result are averages, not differences
        self._bits, self._mean_bits = dict(zip(self.ordered_peer_ids, bits)), MEAN_BITS[min(bits)]
        self._given = given.split(payload_bytes(PART, self._bits[self.peer_id]))
        self._weights = dict(zip(self.ordered_peer_ids, weights))
        self._counted = dict(zip(self.ordered_peer_ids, capped(weights, steps)))  # weights, as they count in the mean
        self._agreement = agreement
        self._answers = answers
        share = self._counted[self.peer_id] / sum(self._counted.values())
        answers.begin(self._bits[self.peer_id], self._mean_bits, share)
        self.wrong: set[PeerID] = set()  # the reducers whose answers are no mean of what we gave
        self._traffic, self._complain = traffic, complain
        self._encoded: dict[int, asyncio.Future[torch.Tensor]] = {}  # payloads of the means of our parts, by index
        self._enough_are_left = True
        own_parts = self.tensor_part_container.num_parts_by_peer[self._own_index]
        self.tensor_part_reducer = PartsReducer(own_parts, len(self.sender_peer_ids))

    async def averages(self) -> list[torch.Tensor]:
        """Run the all-reduce; return the payload of the mean, the only tensor in the list.

        Raise AllreduceException where any part of it did not come, and whatever the network fails with.
        """
        return [average async for average in self]

    @property
    def _own_index(self) -> int:
        return self.ordered_peer_ids.index(self.peer_id)

    def _count(self, *, sent: int = 0, received: int = 0) -> None:
        self._traffic[0].value += sent
        self._traffic[1].value += received

    @property
    def _window(self) -> int:
        """The most parts that a reducer is sent before it has answered the first of them."""
        if self.should_delay_results(self.peer_id):  # nobody can call us: a reducer answers when it has them all
            return len(self._given)
        part = payload_bytes(PART, self._bits[self.peer_id]) + payload_bytes(PART, self._mean_bits)
        return max(2, WINDOW_BYTES // part // (self.group_size - 1))

    def _given_to(self, index: int) -> Sequence[torch.Tensor]:
        """The parts of what we give that the peer of this index is the reducer of."""
        counts = self.tensor_part_container.num_parts_by_peer
        return self._given[sum(counts[:index]) : sum(counts[: index + 1])]

    async def _encode(self, part_index: int, came: Mapping[int, torch.Tensor]) -> torch.Tensor:
        """Return the payload of the mean of one part of our share, made once for all peers of what came of it."""
        if not self._enough_are_left:
            raise AllreduceException("too few devices were left to move the anchor")
        if part_index not in self._encoded:
            loop = asyncio.get_running_loop()
            self._encoded[part_index] = loop.run_in_executor(None, self._mean_of, dict(came))
        return await asyncio.shield(self._encoded[part_index])

    def _mean_of(self, came: Mapping[int, torch.Tensor]) -> torch.Tensor:
        """Return the payload of the mean of one part, of the payloads that came of it by sender."""
        peers = [self.sender_peer_ids[sender] for sender in came]
        weights = [self._counted[peer] for peer in peers]
        gives = [index for index, weight in enumerate(weights) if weight > 0]
        if not gives:
            raise AllreduceException("nobody who is left gives anything")
        parts, payloads = torch.empty(len(gives), PART), list(came.values())
        for part, index in zip(parts, gives):
            decode(payloads[index], self._bits[peers[index]], part)
        names = [peers[index].to_base58() for index in gives]
        shares = self._agreement.shares(names, parts, [weights[index] for index in gives])
        counted = torch.tensor([weights[index] * (share > 0) for index, share in zip(gives, shares)])
        mean = (counted * torch.tensor(shares)) @ parts / counted.sum()
        payload = torch.empty(payload_bytes(PART, self._mean_bits), dtype=torch.uint8)
        encode(mean, self._mean_bits, payload)
        if not is_valid(payload, self._mean_bits, LIMIT):  # the others would take us for hostile
            raise AllreduceException("the mean is not finite, or impossibly large")
        return payload

    async def _ban_sender(self, peer_id: Any) -> None:
        """Go on without a peer that fell silent, but not as a minority: the others may go on without us."""
        left = set(self.sender_peer_ids) - self.banned_senders - {peer_id}
        self._enough_are_left = is_quorum(len(left), len(self.sender_peer_ids))
        await super()._ban_sender(peer_id)

    async def _communicate_with_peer(self, peer_id: Any) -> None:
        """Take the mean of one reducer's share, part by part and checked; without all of it the exchange fails."""
        index = self.ordered_peer_ids.index(peer_id)
        container = self.tensor_part_container
        expected = container.num_parts_by_peer[index]
        part_index = 0
        try:
            averages = self._reduce_own_share() if peer_id == self.peer_id else self._ask_reducer(peer_id, index)
            async for average in averages:
                if part_index >= expected:
                    raise ProtocolViolation("more parts than asked for")
                is_wrong = self._answers.is_wrong(self._given_to(index)[part_index], average)
                if is_wrong and peer_id != self.peer_id:  # the others may have got a mean: we answer them to the end
                    self.wrong.add(peer_id)
                container.register_processed_part(index, part_index, average)
                part_index += 1
            if part_index != expected:
                raise AllreduceException(f"{peer_id} sent {part_index} of {expected} parts")
        except BaseException as error:
            container.register_failed_reducer(index)
            if isinstance(error, ProtocolViolation):
                self._complain(peer_id, str(error))
            raise

    async def _reduce_own_share(self) -> AsyncIterator[torch.Tensor]:
        """Yield the payloads of the mean of our own share, whose reducer we are."""
        sender = self.sender_peer_ids.index(self.peer_id)
        for part_index, payload in enumerate(self._given_to(self._own_index)):
            if not is_valid(payload, self._bits[self.peer_id], LIMIT):
                raise AllreduceException("our own numbers are not finite, or impossibly large")
            yield await self._encode(part_index, await self.tensor_part_reducer.gather(sender, part_index, payload))

    async def _ask_reducer(self, peer_id: Any, index: int) -> AsyncIterator[torch.Tensor]:
        """Send a reducer its share of what we give, and yield the payloads of the mean as they come."""
        done_sending, window = asyncio.Event(), asyncio.Semaphore(self._window)
        inputs = attach_event_on_finished(self._generate_input_for_peer(index, window), done_sending)
        stream = await self._get_peer_stub(peer_id).rpc_aggregate_part(inputs)
        if self.should_delay_results(self.peer_id):
            await done_sending.wait()
        async for message in aiter_with_timeout(stream, self.reducer_timeout):
            if message.code != averaging_pb2.AVERAGED_PART:
                raise AllreduceException(f"a reducer answered {averaging_pb2.MessageCode.Name(message.code)}")
            self._count(received=len(message.tensor_part.buffer))
            window.release()
            yield checked_part(message.tensor_part.buffer, self._mean_bits)

    async def _generate_input_for_peer(
        self, peer_index: int, window: asyncio.Semaphore
    ) -> AsyncIterator[averaging_pb2.AveragingData]:
        """Yield our messages to one reducer, each when the window has room for it."""
        code, group_id = averaging_pb2.PART_FOR_AVERAGING, self.group_id  # hivemind's kind of message
        for part in self._given_to(peer_index):
            await window.acquire()
            self._count(sent=len(part))
            content = runtime_pb2.Tensor(buffer=part.numpy().tobytes())
            yield averaging_pb2.AveragingData(code=code, group_id=group_id, tensor_part=content, weight=self.weight)
            code, group_id = None, None  # the first message says what the stream is about

    async def _accumulate_parts_streaming(
        self, stream: AsyncIterator[averaging_pb2.AveragingData], sender_index: int
    ) -> AsyncIterator[averaging_pb2.AveragingData]:
        """Take one sender's parts as they come, check them, and answer each with the payload of the mean."""
        reducer, sender = self.tensor_part_reducer, self.sender_peer_ids[sender_index]
        part_index = 0
        try:
            async for message in stream:
                self._count(received=len(message.tensor_part.buffer))
                if part_index >= reducer.num_parts or message.weight != self._weights[sender]:
                    raise ProtocolViolation("more parts than ours, or another weight than it had said")
                payload = checked_part(message.tensor_part.buffer, self._bits[sender])
                try:
                    # shielded, for all senders wait for one future: the end of one's stream must not cancel it
                    came = await asyncio.shield(reducer.gather(sender_index, part_index, payload))
                except BannedException:
                    break
                encoded = await self._encode(part_index, came)
                part_index += 1
                self._count(sent=len(encoded))
                yield averaging_pb2.AveragingData(
                    code=averaging_pb2.AVERAGED_PART,
                    tensor_part=runtime_pb2.Tensor(buffer=encoded.numpy().tobytes()),
                )
        except ProtocolViolation as error:
            self._complain(sender, str(error))
            raise
        finally:
            if part_index != reducer.num_parts:
                await self._ban_sender(sender)


def checked_part(buffer: bytes, bits: int) -> torch.Tensor:
    """Return the payload of one part that came from the network. Raise ProtocolViolation for what cannot be one."""
    if len(buffer) != payload_bytes(PART, bits):
        raise ProtocolViolation("a part of another size than asked for")
    payload = torch.frombuffer(bytearray(buffer), dtype=torch.uint8)
    if not is_valid(payload, bits, LIMIT):
        raise ProtocolViolation("numbers that are not finite, or impossibly large")
    return payload
