"""A summary of what was read: who wrote how much, when, how long messages are, and what was masked, by pandas.

People are P1, P2, … by how much they wrote: no name is shown.
"""

from array import array
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from data.texts.cache import Said

_MOST_PEOPLE = 20  # that have a line of their own
_MOST_MONTHS = 24  # the latest
_BAR = 30  # characters of the longest bar
_UNKNOWN = -(1 << 62)  # the second of a message whose time nobody knows


class Summary:
    """The numbers of all messages, in 20 bytes each."""

    def __init__(self) -> None:
        self._people: dict[str, int] = {}
        self._who, self._lengths, self._seconds = array("i"), array("i"), array("q")

    def take(self, messages: Iterable[Said]) -> None:
        """Take in the messages of one chat; documents, which nobody wrote, are left out."""
        for second, sender, text in messages:
            if sender is not None:
                self._who.append(self._people.setdefault(sender, len(self._people)))
                self._lengths.append(len(text))
                self._seconds.append(_UNKNOWN if second is None else second)

    def lines(self, masked: Mapping[str, int]) -> Iterator[str]:
        """Yield the lines of the summary for the user."""
        if not self._who:
            yield "no messages with senders: there is nothing to sum up"
            return
        import pandas  # which takes a second to load, here and where tables are read

        frame = pandas.DataFrame({"who": self._who, "length": self._lengths, "second": self._seconds})
        known = frame[frame.second > _UNKNOWN]
        days = pandas.to_datetime(known.second, unit="s").dt.floor("D").nunique()
        span = ""
        if len(known):
            first, last = (datetime.fromtimestamp(int(known.second.agg(end)), UTC) for end in ("min", "max"))
            span = f", {first:%Y-%m-%d} to {last:%Y-%m-%d}, on {days:,} days"
        yield f"{len(frame):,} messages of {len(self._people):,} people{span}"
        yield ""
        yield from _by_person(frame)
        if len(known):
            times = pandas.to_datetime(known.second, unit="s")
            months = times.dt.strftime("%Y-%m").value_counts().sort_index()
            yield from _bars("by month", {str(month): int(count) for month, count in months.items()}, _MOST_MONTHS)
            hours = times.dt.hour.value_counts()
            yield from _bars("by hour", {f"{hour:02d}": int(hours.get(hour, 0)) for hour in range(24)}, 24)
        yield from _masked(masked)


def _by_person(frame: Any) -> Iterator[str]:
    """Yield a line for each of those who wrote the most, and one for all others."""
    of_each = frame.groupby("who").length.agg(["count", "sum", "max"]).sort_values("count", ascending=False)
    total = int(of_each["count"].sum())
    yield f"{'who':<8} {'messages':>9} {'share':>6} {'characters':>11} {'a message':>10} {'longest':>8}"
    for number, row in enumerate(of_each.head(_MOST_PEOPLE).itertuples(index=False), 1):
        yield (
            f"P{number:<7} {int(row[0]):>9,} {row[0] / total:>6.1%} {int(row[1]):>11,} {row[1] / row[0]:>10.1f} "
            f"{int(row[2]):>8,}"
        )
    others = of_each.iloc[_MOST_PEOPLE:]
    if len(others):
        count, characters = int(others["count"].sum()), int(others["sum"].sum())
        yield (
            f"{len(others):,} more   "[:8] + f" {count:>9,} {count / total:>6.1%} {characters:>11,} "
            f"{characters / count:>10.1f} {int(others['max'].max()):>8,}"
        )


def _bars(title: str, counts: Mapping[str, int], most: int) -> Iterator[str]:
    shown = dict(list(counts.items())[-most:])
    yield ""
    yield title if len(shown) == len(counts) else f"{title}, the latest {most} of {len(counts)}"
    highest = max(shown.values())
    for name, count in shown.items():
        yield f"{name:<8} {count:>9,} {'█' * round(_BAR * count / highest)}".rstrip()


def _masked(masked: Mapping[str, int]) -> Iterator[str]:
    if any(masked.values()):
        yield ""
        yield "masked in what is trained on"
        for tag, count in sorted(masked.items(), key=lambda item: -item[1]):
            if count:
                yield f"{tag:<10} {count:>7,}"
