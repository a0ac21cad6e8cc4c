"""Which field of objects or rows says who wrote, when, and what: told by its name, or else by what stands in it."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data.formats.dates import cell_time, epoch_time
from data.formats.json_apps import Item
from data.formats.messages import without_surrogates

SENDER = re.compile(
    r"(?:sender|author|speaker|writer|user|nick|from|who|person|participant|talker|handle|account|creator|actor|owner"
    r"|posted ?by|sent ?by|by)(?:[ _.-]?(?:name|nickname|nick|display(?:[ _-]?name)?|full[ _-]?name"
    r"|title|label|info|user))*"
    r"|(?:display|full|nick|screen|user|real)[ _-]?name|name|username"
    r"|보낸 ?(?:사람|이)|발신자|작성자|글쓴이|화자|이름|사용자|닉네임|참여자|대화명"
    r"|送信者|発言者|名前|发送者|发送人|发言人|昵称|姓名",
    re.IGNORECASE,
)
IDENTITY = re.compile(
    r"(?:sender|author|speaker|user|from|writer|participant|member|account)[ _.-]?(?:id|uuid|uid|key|email)",
    re.IGNORECASE,
)
TEXT = re.compile(
    r"text|message|content|body|msg|utterance|chat|comment|said|(?:message|msg|chat)[ _-]?(?:text|body|content)"
    r"|메시지|메세지|내용|대화|대화 ?내용|말|발화|본문|メッセージ|内容|本文|消息|消息内容|聊天内容",
    re.IGNORECASE,
)
TIME = re.compile(
    r"(?:created?|sent|posted|message)?[ _-]?(?:date|time|timestamp|datetime|ts|at)(?:[ _-]?(?:time|utc|sent|ms))?"
    r"|날짜|시간|일시|보낸 ?시간|作成日時|日時|日付|时间|日期|发送时间",
    re.IGNORECASE,
)
# Fields that datasets have beside their texts, and that name nobody.
_NOT_PEOPLE = re.compile(
    r"(?:.*[ _.-])?(?:id|label|lang|language|source|categor(?:y|ies)|type|kind|title|url|link|date|time|timestamp|split"
    r"|topic|genre|score|rating|model|license|meta|tags?|sentiment|emotion|domain|subset|format|version|status|hash|index|idx"
    r"|file|path|intent|task|difficulty|style|platform|locale|country|city|channel|room|server|question|answer|prompt"
    r"|response|instruction|output|input|context|role|라벨|분류|출처|감정|주제|장르|평점|제목)",
    re.IGNORECASE,
)
_LONGEST_NAME = 40  # characters
_INNER_NAMES = ("display_name", "displayName", "global_name", "nickname", "name", "real_name", "username", "first_name")
_INNER_NAME = re.compile(r"(?:[a-z]+[_-]?)?(?:name|nick(?:name)?|handle|이름|닉네임)", re.IGNORECASE)


@dataclass(frozen=True)
class Fields:
    """The fields of one file. All but `text` may be missing."""

    text: str
    sender: str = ""
    identity: str = ""
    time: str = ""
    names: tuple[str, ...] = ()  # more names of whoever wrote, beside `sender` in one object


def flat(item: Item) -> dict[str, Any]:
    """Return an object in which what stands in an object inside it has a name as `from.name`."""
    plain: dict[str, Any] = {}
    for key, value in item.items():
        if isinstance(value, dict):
            plain.update(
                {f"{key}.{inner}": value[inner] for inner in value if not isinstance(value[inner], dict | list)}
            )
        else:
            plain[key] = value
    return plain


def fields_of(items: Sequence[Mapping[str, Any]]) -> Fields | None:
    """Return the fields of flat objects; None if none of them is a text."""
    names = list(dict.fromkeys(name for item in items for name in item))
    written = {name: [item[name] for item in items if isinstance(item.get(name), str) and item[name]] for name in names}
    texts = [name for name in names if TEXT.fullmatch(name.rpartition(".")[2]) and written[name]]
    if not texts:
        return None
    text = "text" if "text" in texts else max(texts, key=lambda name: sum(map(len, written[name])))
    rest = [name for name in names if name != text and not name.startswith(f"{text}.")]
    sender = _sender(rest, written)
    identity = next((name for name in rest if IDENTITY.fullmatch(name) and name != sender), "")
    times = [name for name in rest if TIME.fullmatch(name) and any(_is_time(item.get(name)) for item in items)]
    beside = f"{sender.partition('.')[0]}." if "." in sender else "\0"
    more = [name for name in rest if name.startswith(beside) and _INNER_NAME.fullmatch(name.removeprefix(beside))]
    return Fields(text, sender or identity, identity if sender else "", times[0] if times else "", tuple(more))


def _sender(names: Sequence[str], written: Mapping[str, list[str]]) -> str:
    """Return the field of who wrote; "" if none is called so."""
    whole = [name for name in names if "." not in name and SENDER.fullmatch(name) and written[name]]
    if whole:
        return min(whole, key=lambda name: (_rank(name), names.index(name)))
    inner = [(name, name.partition(".")) for name in names if "." in name and written[name]]
    inside = [(name, last) for name, (first, _, last) in inner if SENDER.fullmatch(first)]
    known = [(_INNER_NAMES.index(last), name) for name, last in inside if last in _INNER_NAMES]
    others = [name for name, last in inside if _INNER_NAME.fullmatch(last)]
    ids = [name for name, last in inside if last == "id"]
    return min(known)[1] if known else next(iter(others + ids), "")


def _rank(name: str) -> int:
    """Return 1 for names that may mean something else, as `name` of a channel, and 0 for the others."""
    return int(name.lower() in ("name", "owner", "by", "account", "title", "who"))


def _is_time(value: Any) -> bool:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return time_of(value) is not None
    return isinstance(value, str) and cell_time(value, "ymd") is not None


def time_of(value: Any) -> Any:
    """Return the time that a field holds; None if it is none. Numbers are seconds or milliseconds since 1970."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return epoch_time(value / 1000 if value > 1e11 else value)
    return cell_time(str(value), "ymd")


def name_in(item: Mapping[str, Any], field: str) -> str | None:
    """Return the name of who wrote, in a field that may hold a number; None if nothing is there."""
    value = item.get(field) if field else None
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return without_surrogates(value).strip() or None if isinstance(value, str) else None


def may_name_people(items: Sequence[Mapping[str, Any]], text: str) -> str:
    """Return a field beside the text that may say who wrote it, of a name that nobody knows; "" if there is none.

    Its values are short, no numbers and no links, they differ, and most are there more than once.
    """
    for name in dict.fromkeys(name for item in items for name in item):
        if name == text or name.startswith(f"{text}.") or _NOT_PEOPLE.fullmatch(name):
            continue
        if are_like_names([item.get(name) for item in items]):
            return name
    return ""


def are_like_names(values: Iterable[Any]) -> bool:
    """Return True if these may be the names of those who write: short words, few of them, again and again."""
    given = [value.strip() for value in values if isinstance(value, str) and value.strip()]
    if len(given) < 2 or any(len(value) > _LONGEST_NAME or "\n" in value or "://" in value for value in given):
        return False
    if not all(any(map(str.isalpha, value)) for value in given):
        return False
    counts = Counter(given)
    return len(counts) >= 2 and (len(given) < 8 or len(counts) <= max(2, len(given) // 2))
