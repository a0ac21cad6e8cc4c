"""Exports that belong together: parts of one export, and two exports of one chat, whose messages count once."""

import heapq
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from data.texts.cache import Cache, Chat, Entry, Said

_SAME = 0.5  # of the messages in the time that both have: then it is one chat
_SAME_BY = 0.25  # of them also by a sender of the same name; one's own name differs from phone to phone
_MYSELF = frozenset({"회원님", "나", "you", "You", "Me"})
_PART = re.compile(r"(?P<whole>.*)-\d{1,3}(?P<suffix>\.[^./]*)?")


@dataclass
class Group:
    """The exports of one chat, and which messages of each are new (all, if there is no mask)."""

    chats: list[Chat]
    new: list[np.ndarray | None] = field(default_factory=list)

    def messages(self, cache: Cache) -> Iterator[Said]:
        """Yield the messages of all, each once, in the order of their time."""
        streams = [_new_messages(cache, chat, new) for chat, new in zip(self.chats, self.new, strict=True)]
        if len(streams) == 1:
            yield from streams[0]
        else:
            merged = heapq.merge(*map(_with_last_time, streams), key=lambda timed: timed[0])
            yield from (said for _, said in merged)


def group(entries: list[Entry], cache: Cache) -> tuple[list[Group], dict[str, int]]:
    """Return all chats of all files, those that belong together in one group.

    Also returns, by file, how many messages had been counted in another one.
    """
    groups: list[Group] = []
    of_part: dict[tuple[str, ...], Group] = {}
    repeated: dict[str, int] = {}
    chats = [(entry, chat) for entry in entries for chat in entry.chats]
    dated = sum(chat.first is not None and bool(chat.senders) for _, chat in chats)
    for entry, chat in chats:
        new: np.ndarray | None = None
        home: Group | None = None
        if chat.senders and chat.first is not None and dated > 1:
            keys = cache.keys(chat)
            for candidate in groups:
                if any(other in entry.chats for other in candidate.chats):
                    continue  # the chats of one file are different ones
                known = _known(keys, candidate, chat, cache)
                if known is not None:
                    home = home or candidate
                    new = ~known if new is None else new & ~known
            if new is not None:
                repeated[entry.name] = repeated.get(entry.name, 0) + int((~new).sum())
        part = _PART.fullmatch(entry.name)
        key = (entry.format, part["whole"], part["suffix"] or "") if part and len(entry.chats) == 1 else None
        home = home or (of_part.get(key) if key else None)
        if home is None or not chat.senders:
            home = Group([])
            groups.append(home)
        home.chats.append(chat)
        home.new.append(new)
        if key:
            of_part.setdefault(key, home)
    return groups, repeated


def _known(keys: np.ndarray, group: Group, chat: Chat, cache: Cache) -> np.ndarray | None:
    """Return which of these messages the group has, (messages,) bool; None if it is another chat.

    It is the same chat if most of what both could have, both have.
    """
    assert chat.first is not None and chat.last is not None
    known = np.zeros(len(keys), dtype=bool)
    same = False
    for other in group.chats:
        if other.first is None or other.last is None:
            continue
        first, last = max(chat.first, other.first) // 60, min(chat.last, other.last) // 60
        renamed = not _MYSELF.isdisjoint(chat.senders) or not _MYSELF.isdisjoint(other.senders)
        if last < first or (not renamed and set(chat.senders).isdisjoint(other.senders)):
            continue
        theirs = cache.keys(other)
        ours = (keys["minute"] >= first) & (keys["minute"] <= last)
        both = int(min(ours.sum(), ((theirs["minute"] >= first) & (theirs["minute"] <= last)).sum()))
        said = np.isin(keys["said"], theirs["said"]) & ours
        said_by = np.isin(keys["said_by"], theirs["said_by"]) & ours
        if both and said.sum() >= _SAME * both and (renamed or said_by.sum() >= _SAME_BY * both):
            known |= said
            same = True
    return known if same else None


def _new_messages(cache: Cache, chat: Chat, new: np.ndarray | None) -> Iterator[Said]:
    messages = cache.messages(chat)
    return messages if new is None else (said for said, is_new in zip(messages, new, strict=True) if is_new)


def _with_last_time(messages: Iterator[Said]) -> Iterator[tuple[int, Said]]:
    last = 0
    for said in messages:
        last = last if said[0] is None else said[0]
        yield last, said
