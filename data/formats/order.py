"""The order of messages: exports that begin with the newest one are turned round, in little memory."""

import json
import zlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import chain, islice, pairwise

from data.formats.messages import Message

_LOOKED_AT = 200  # messages that tell the order
_BLOCK = 2000  # messages that are kept packed together; chats pack to a fifth


def oldest_first(messages: Iterable[Message]) -> Iterator[Message]:
    """Yield the messages of one chat, the last first if their times run back."""
    messages = iter(messages)
    first = list(islice(messages, _LOOKED_AT))
    times = [message.time for message in first if message.time is not None]
    back = sum(later < earlier for earlier, later in pairwise(times))
    forth = sum(later > earlier for earlier, later in pairwise(times))
    messages = chain(first, messages)
    yield from messages if back <= forth else _turned(messages)


def _turned(messages: Iterator[Message]) -> Iterator[Message]:
    blocks = []
    while block := list(islice(messages, _BLOCK)):
        chat = block[0].chat
        rows = [(one.time and one.time.isoformat(), one.sender, one.text) for one in reversed(block)]
        blocks.append(zlib.compress(json.dumps(rows).encode(), 1))
    while blocks:
        for time, sender, text in json.loads(zlib.decompress(blocks.pop())):
            yield Message(time and datetime.fromisoformat(time), sender, text, chat)
