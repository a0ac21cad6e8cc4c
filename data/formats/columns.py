"""Which columns of a table say when, who and what: told by the header's names, or by what stands in them.

WeChat: the CSV of WeChatMsg (MemoTrace) 2, `localId,TalkerId,Type,SubType,…,StrContent,StrTime,Remark,NickName,Sender`.
Discord: the CSV of DiscordChatExporter 2.43, `AuthorID,Author,Date,Content,Attachments,Reactions`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from data.formats.dates import cell_time
from data.formats.fields import IDENTITY, SENDER, TEXT, TIME, are_like_names
from data.formats.json_apps import CALL, CONTACT, FILE, MOVIE, PHOTO, PLACE, STICKER, VOICE, kind_of_file

Cells = Sequence[str]

_WHEN = (
    "date datetime strtime time timestamp 날짜 시간 일시 时间 发送时间 日期 日時 sent created_at createdat".split()  # noqa: SIM905
)
_WHO = [
    "user",
    "nickname",
    "sender_name",
    "sendername",
    "author",
    "sender",
    "from",
    "name",
    "사용자",
    "이름",
    "보낸사람",
    "작성자",
    "昵称",
    "发送者",
    "发送人",
    "送信者",
]
_WHAT = "message strcontent text content msg body 메시지 내용 대화 消息 消息内容 内容 メッセージ".split()  # noqa: SIM905
_MORE_NAMES = frozenset({"remark", "nickname", "备注", "昵称", "群昵称", "display name", "username"})
# `sender_display` before `talker_display`, which may be the other one of two or the chat's name.
_SURE_SENDER = re.compile(r"(?:sender|author|from)[ _.-]?(?:name|nickname|nick|display(?:[ _-]?name)?)")
_ANOTHER_NAME = re.compile(
    r"(?:sender|author|from|talker|user|display|full|real|nick)[ _.-]?(?:name|nickname|nick|display(?:[ _-]?name)?)"
)
_ZONE = re.compile(r" ?\([^()]*\)$")  # behind a column's name: time(Asia/Seoul)
_KIND, _ATTACHED = frozenset({"type", "类型"}), frozenset({"attachments"})
_SURE = 0.8  # of the cells of a column that must be times


@dataclass(frozen=True)
class Columns:
    """The columns, by number. `names` are more names of who wrote; those of which there is none are None."""

    date: int
    sender: int
    text: int
    identity: int | None = None
    names: tuple[int, ...] = ()
    kind: int | None = None  # of WeChat's messages
    attached: int | None = None

    @property
    def all(self) -> tuple[int, ...]:
        """All of them, date, sender and text first."""
        more = (self.identity, *self.names, self.kind, self.attached)
        return (self.date, self.sender, self.text, *(number for number in more if number is not None))


def by_name(header: Cells) -> Columns | None:
    """Return the columns that a header names; None if it does not name all three."""
    names = [_ZONE.sub("", name.strip().lower().lstrip("\ufeff")) for name in header]
    date = _first(names, _WHEN, TIME)
    sender = _first(names, _WHO, _SURE_SENDER, SENDER)
    text = _first(names, _WHAT, TEXT)
    if sender is None:
        sender = _first(names, (), IDENTITY)
    if date is None or sender is None or text is None or len({date, sender, text}) < 3:
        return None
    is_wechat = "strcontent" in names
    identity = next(
        (number for number, name in enumerate(names) if IDENTITY.fullmatch(name) and number != sender), None
    )
    if is_wechat and "sender" in names:
        identity = names.index("sender")
    more = tuple(
        number
        for number, name in enumerate(names)
        if (name in _MORE_NAMES or _ANOTHER_NAME.fullmatch(name)) and number not in (date, sender, text)
    )
    kind = next((number for number, name in enumerate(names) if name in _KIND), None) if is_wechat else None
    attached = next((number for number, name in enumerate(names) if name in _ATTACHED), None)
    return Columns(date, sender, text, identity, more, kind, attached)


def _first(names: Cells, known: Cells, *patterns: re.Pattern[str]) -> int | None:
    """Return the column with the first of these names, or else the first whose name is like them."""
    exact = next((names.index(name) for name in known if name in names), None)
    if exact is not None:
        return exact
    like = (number for pattern in patterns for number, name in enumerate(names) if pattern.fullmatch(name))
    return next(like, None)


def by_content(rows: Sequence[Cells]) -> Columns | None:
    """Return the columns of rows without a header that says so; None if it is not clear that they are a chat's.

    One column holds times, one a few short words again and again, and of the others the longest is the text.
    """
    if len(rows) < 3:
        return None
    columns = [[row[number].strip() for row in rows] for number in range(len(rows[0]))]
    times = [
        sum(cell_time(cell, "ymd") is not None or cell_time(cell, "mdy") is not None for cell in one) for one in columns
    ]
    dates = [number for number, count in enumerate(times) if count >= _SURE * (len(rows) - 1)]
    if not dates:
        return None
    rest = [
        number
        for number, one in enumerate(columns)
        if number not in dates and not all(cell.isdecimal() for cell in one[1:] if cell)
    ]
    lengths = {number: sum(map(len, set(columns[number][1:]))) for number in rest}
    texts = sorted(rest, key=lambda number: -lengths[number])
    people = [number for number in texts[1:] if are_like_names(columns[number][1:])]
    return Columns(dates[0], people[0], texts[0]) if people and lengths[texts[0]] else None


_WECHAT = {
    **{"3": PHOTO, "34": VOICE, "43": MOVIE, "47": STICKER, "48": PLACE, "42": CONTACT, "50": CALL, "62": MOVIE},
    **{"图片": PHOTO, "语音": VOICE, "视频": MOVIE, "动画表情": STICKER, "位置": PLACE, "名片": CONTACT, "文件": FILE},
}
_SYSTEM = frozenset({"10000", "10002", "系统消息", "系统通知"})
_TITLE = re.compile(r"<title>(?:<!\[CDATA\[)?(.*?)(?:\]\]>)?</title>", re.DOTALL)


def said(row: Cells, columns: Columns) -> str | None:
    """Return what a row says, of a picture or the like what stands for it; None for what the app says itself."""
    text = row[2].strip()
    if columns.kind is None and columns.attached is None:
        return text
    numbers = columns.all
    kind = row[numbers.index(columns.kind)].strip() if columns.kind is not None else ""
    if kind in _SYSTEM:
        return None
    if kind in _WECHAT:
        return _WECHAT[kind]
    if text.startswith("<") and kind not in ("", "1"):  # what WeChat keeps of links, files and answers
        title = _TITLE.search(text)
        return title[1].strip() if title else FILE
    if not text and columns.attached is not None and (attached := row[numbers.index(columns.attached)].strip()):
        return kind_of_file(attached.partition(",")[0])
    return text
