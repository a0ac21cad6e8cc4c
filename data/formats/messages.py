"""The messages that every reader of exports gives, and the counts of what it left out."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from data.formats.app_lines import is_notice_of_deletion

if TYPE_CHECKING:
    from data.formats.files import Source


@dataclass(frozen=True, slots=True)
class Message:
    """A text that one person wrote at one time. In a document both are unknown."""

    time: datetime | None  # as the sender's device showed it, without a zone
    sender: str | None
    text: str
    chat: int = 0  # which chat of its file, where a file holds several


@dataclass
class Counts:
    """The counts of what was left out of one file: its messages and these together are all it holds."""

    system: int = 0  # what the app wrote: who came, who went
    deleted: int = 0  # messages taken back or hidden, of which only the notice is left
    broken: list[int] = field(default_factory=list)  # the first lines of what could not be read, from 1
    records: int = 0  # lines or items of the file, where the format counts them
    odd: list[int] = field(default_factory=list)  # those that look like messages, but as no rule of the format says
    people: set[str] = field(default_factory=set)  # whom the file names beside those who wrote
    identified: dict[str, bool] = field(default_factory=dict)  # id of who wrote -> whether it has a name of theirs


class Format(Protocol):
    """One way in which files are written."""

    @property
    def name(self) -> str: ...

    def score(self, sample: list[str]) -> float:
        """Return the share of a file's first lines that is written this way, from 0 to 1."""
        ...

    def messages(self, source: "Source", counts: Counts) -> Iterator[Message]:
        """Yield the file's messages in their order, counting what is left out. Memory does not grow with the file."""
        ...


LONGEST_MESSAGE = 1 << 20  # characters; more is no message, and would only fill the memory

_DELETED = frozenset(
    """
    삭제된 메시지입니다
    메시지가 삭제되었습니다
    이 메시지는 삭제되었습니다
    관리자가 메시지를 가렸습니다
    채팅방 관리자가 메시지를 가렸습니다
    this message was deleted
    this message was deleted by admin
    you deleted this message
    message unsent
    you unsent a message
    메시지 전송을 취소했습니다
    메시지를 삭제했습니다
    メッセージの送信を取り消しました
    해당 메시지는 삭제되었습니다
    삭제된 메시지
    this message has been deleted
    message deleted
    deleted message
    이 메시지를 삭제했습니다
    방장이 메시지를 가렸습니다
    가려진 메시지입니다
    this message was hidden by the admin
    the admin has hidden this message
    the admin has hidden a message
    a message was hidden by the admin
    this message was hidden
    hidden message
    message hidden by admin
    unsent a message
    메시지가 취소되었습니다
    waiting for this message
    이 메시지를 기다리는 중입니다
    waiting for this message. this may take a while
    """.strip().split("\n    ")
)
_LONGEST_DELETED = 60
MARKS = "\u200b\u200e\u200f\u202a\u202c\u2068\u2069\ufeff"  # that apps put before and after what people write


def is_deleted(text: str) -> bool:
    """Return True if a message is the notice that stands in the place of one that was taken back."""
    if len(text) >= _LONGEST_DELETED:
        return False
    bare = text.strip(MARKS + " .。").lower()
    return bare in _DELETED or is_notice_of_deletion(bare)


_SURROGATES = re.compile("[\ud800-\udfff]")


def without_surrogates(text: str) -> str:
    """Return the text as it can be written: exports in JSON can hold halves of emoji."""
    return _SURROGATES.sub("", text)
