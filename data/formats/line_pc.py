"""LINE for PC (9): days as `2017.09.03 Sunday`, messages as `16:23 Bob what he says`, with a space after the name.

Where a name ends is told by the whole file: people begin their lines with the same words, and go on with others.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date
from itertools import islice

from data.formats.dates import CLOCK, in_order, on_day
from data.formats.files import Source
from data.formats.messages import LONGEST_MESSAGE, Counts, Message, is_deleted
from data.formats.people import People

_DAY = re.compile(r"\ufeff?(?P<year>\d{4})\.(?P<month>\d{1,2})\.(?P<day>\d{1,2}) ?\(?[^\W\d]{1,12}\)?\s*$")
_MESSAGE = re.compile(rf"\ufeff?{CLOCK} (?P<rest>[^\t\n]+)$")
_HEADER = re.compile(
    r"\ufeff?\[LINE\] ?(?:Chat history (?:with|in) (?P<english>.+)|(?P<korean>.+?) ?님과의 대화"
    r"|(?P<japanese>.+?)とのトーク履歴)"
)
_SAYS = re.compile(
    r"(?P<who>.{1,60}?)(?:님이| (?=joined|left|invited|removed|changed|added|canceled)|(?=が|さんが))"
    r"(?:.{0,200}(?:초대했습니다|나갔습니다|들어왔습니다|참여했습니다|변경했습니다|내보냈습니다|삭제했습니다)\.?"
    r"|(?:joined|left|invited|removed|changed|added|canceled) .{0,200}(?:group|chat|album|note)[^\n]{0,60}\."
    r"|(?:さん)?が.{0,200}(?:参加|招待|退会|退出|変更|削除|追加)しました。?)"
)
_INVITED = re.compile(r"(?:invited|added|removed) (.{1,60}?) (?:to|from) the |님이 (.{1,60}?)님을 ")
_UNSENT = re.compile(
    r"(?P<who>.{1,60}?)(?: unsent a message\.?|님이 메시지 전송을 취소했습니다\.?"
    r"|がメッセージの送信を取り消しました。?)$"
)
_COUNTED = 50_000  # messages that tell the names
_MOST_WORDS = 5  # of a name
_FEWEST = 4  # messages that tell where a name ends


class LineForPc:
    """LINE's "Save chat" on a computer; see `Format` in data/formats/messages.py."""

    name = "LINE for PC"

    def score(self, sample: list[str]) -> float:
        """Return the share of lines that are messages below a day."""
        lines = [line.rstrip("\r\n") for line in sample if line.strip()]
        if not any(map(_DAY.match, lines)):
            return 0.0
        return sum(_MESSAGE.match(line) is not None for line in lines) / len(lines)

    def messages(self, source: Source, counts: Counts) -> Iterator[Message]:
        names = _Names(source)
        people = People(counts)
        people.add(*names.known)
        day: date | None = None
        said: Message | None = None
        length = 0
        for number, line in enumerate(source.lines(), 1):
            counts.records += 1
            if line is None:
                counts.broken.append(number)
                continue
            bare = line.rstrip("\r\n")
            if found := _DAY.match(bare):
                day = in_order((int(found["year"]), int(found["month"]), int(found["day"])), "ymd")
            elif found := _MESSAGE.match(bare):
                if said is not None:
                    yield said
                sender, text = names.cut(found["rest"])
                said, length = None, len(bare)
                if _UNSENT.fullmatch(found["rest"]) or is_deleted(text):
                    counts.deleted += 1
                elif says := _SAYS.fullmatch(found["rest"]):
                    counts.system += 1
                    people.add(says["who"], *(name for pair in _INVITED.findall(found["rest"]) for name in pair))
                else:
                    said = Message(on_day(day, found) if day else None, sender, text)
            elif said is not None and length <= LONGEST_MESSAGE:
                length += len(bare)
                said = Message(said.time, said.sender, f"{said.text}\n{bare}")
        if said is not None:
            yield said


class _Names:
    """Where names end in this file."""

    def __init__(self, source: Source) -> None:
        header = next(filter(None, map(_HEADER.match, source.sample)), None)
        self.known = {name.strip() for name in header.groups() if name} if header else set()
        self._next: dict[str, Counter[str]] = defaultdict(Counter)  # beginnings -> the word after it
        lines = (line.rstrip("\r\n") for line in source.lines() if line is not None)
        found = (match for match in map(_MESSAGE.match, lines) if match and not _SAYS.fullmatch(match["rest"]))
        for match in islice(found, _COUNTED):
            words = match["rest"].split(" ")[: _MOST_WORDS + 1]
            for end in range(1, len(words)):
                self._next[" ".join(words[:end])][words[end]] += 1

    def cut(self, rest: str) -> tuple[str, str]:
        """Return the name that a line begins with, and what follows."""
        for name in self.known:
            if rest.startswith(f"{name} "):
                return name, rest[len(name) + 1 :]
        words = rest.split(" ")
        end = 1
        while end < min(_MOST_WORDS, len(words) - 1) and self._goes_on(" ".join(words[:end]), words[end]):
            end += 1
        return " ".join(words[:end]), " ".join(words[end:])

    def _goes_on(self, beginning: str, word: str) -> bool:
        """Return True if this word belongs to the name: nearly all who begin so go on with one of few words."""
        after = self._next[beginning]
        total = after.total()
        again = [count for count in after.values() if count >= 2]
        few = 1 <= len(again) <= max(1, total // _FEWEST)
        return total >= _FEWEST and few and after[word] >= 2 and sum(again) >= 0.9 * total and not word[:1].islower()
