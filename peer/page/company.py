"""The devices of a run as rows for people: who is here and since when, and who has left. Plain values in and out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from peer.page.models import PeerNow
from peer.wire import Notice

MOST_LEFT = 32  # that are kept in mind
LEFT_SECONDS = 24 * 3600.0  # and for how long


@dataclass(frozen=True)
class _Seen:
    notice: Notice
    since: float
    left_at: float | None = None


class Company:
    """Who is here, and who was. Times are of the clock on the wall, for people."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}  # by peer id

    def update(self, others: Iterable[Notice], now: float) -> None:
        """Take in who is here."""
        here = {notice.peer: notice for notice in others}
        for peer, seen in self._seen.items():
            if peer not in here and seen.left_at is None:
                self._seen[peer] = replace(seen, left_at=now)
        for peer, notice in here.items():
            before = self._seen.get(peer)
            is_back = before is None or before.left_at is not None
            self._seen[peer] = _Seen(notice, now if before is None or is_back else before.since)
        gone = sorted((seen for seen in self._seen.values() if seen.left_at), key=lambda seen: seen.left_at or 0.0)
        for seen in gone[:-MOST_LEFT]:
            del self._seen[seen.notice.peer]
        for seen in gone[-MOST_LEFT:]:
            if seen.left_at is not None and now > seen.left_at + LEFT_SECONDS:
                del self._seen[seen.notice.peer]

    def rows(
        self, us: PeerNow, connected: Collection[str], shares: Mapping[str, float], members: Collection[str] = ()
    ) -> list[PeerNow]:
        """Return this device, then who is here, then who has left, the last one first.

        :param connected: peer ids
        :param shares: of the last round, by peer id
        :param members: peer ids of those who belong to the household
        """
        here = [seen for seen in self._seen.values() if seen.left_at is None]
        left = [seen for seen in self._seen.values() if seen.left_at is not None]
        here.sort(key=lambda seen: (seen.since, seen.notice.peer))
        left.sort(key=lambda seen: seen.left_at or 0.0, reverse=True)
        return [us, *(_row(seen, connected, shares, members) for seen in (*here, *left))]


def _row(seen: _Seen, connected: Collection[str], shares: Mapping[str, float], members: Collection[str]) -> PeerNow:
    notice, is_here = seen.notice, seen.left_at is None
    return PeerNow(
        name=notice.name,
        peer=notice.peer,
        kind=notice.kind,
        is_member=notice.peer in members,
        role=str(notice.role),
        tokens_per_second=notice.tokens_per_second if is_here and not notice.paused else 0.0,
        share=shares.get(notice.peer),
        paused=notice.paused,
        since=seen.since,
        is_direct=notice.peer in connected if is_here else None,
        left_at=seen.left_at,
    )
