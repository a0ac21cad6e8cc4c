"""Chats in layouts that nobody knows: told by what all chats have in common, and refused with the advice that fits.

Whoever wrote them could not be masked, so they must not be trained on as plain text.
"""

import re
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

from data.formats.dates import CLOCK, NUMBERS

_HEADER = re.compile(r"카카오톡 대화|KakaoTalk Chats|저장한 날짜 ?:|Date Saved ?:|^\W*\[LINE\]", re.MULTILINE)
_ANY_CLOCK = re.compile(r".{0,60}?(?<!\d)\d{1,2}:\d{2}(?!\d)")
_CLOCK_SHARE = 0.1  # of the lines tell a time of day, above what was said: this is a chat, whoever wrote it

_NAME = r"(?=[^\n]{0,20}[^\W\d])[^\s:：<>\[\]()|\t#*=+-][^\n:：<>\[\]()|\t]{0,29}?"
# Who says it, before what they say, in any shape.
_SPEAKERS = tuple(
    re.compile(shape)
    for shape in (
        r"\s*([^\n:：]{1,40}[:：])\s",
        rf"\s*[<＜]@?({_NAME})[>＞]:?\s",
        rf"\s*[\[【(（]({_NAME})[\]】)）]:?\s",
        rf"({_NAME})(?:\t| ?\| ?| (?:[-–—/~]|=>|->|>>?|»|›) )(?=\S)",
        rf"@({_NAME}) ",
    )
)
_SPEAKER_SHARE = 0.5  # of the lines begin with one who also begins another
# A line that is nothing but a name, above what they say.
_ALONE = re.compile(
    rf"\s*(?:(?P<colon>{_NAME}\S)[:：]|[<＜]@?(?P<angle>{_NAME})[>＞]|[\[【](?P<bracket>{_NAME})[\]】]|@(?P<at>{_NAME}))\s*$"
)
_ALONE_SHARE = 0.02
# A line that is nothing but a date and a time of day, and perhaps a name: in any order.
_DATE = (
    rf"(?:{NUMBERS}|(?:[A-Z][a-z]{{2,8}},? )?(?:[A-Z][a-z]{{2,8}}\.? \d{{1,2}}"
    r"|\d{1,2}[ -][A-Z][a-z]{2,8})[, -]{1,2}\d{2,4})"
)
_STAMP = re.compile(
    rf"(?P<ahead>.{{0,45}}?)\(?\[?{_DATE}[\s,.T]{{0,3}}(?:at |. ?요일 )?{CLOCK}[\])]?(?P<behind>.{{0,45}})$"
)
_SHORT = 30  # characters of a line that may be a name alone
_REPEATED_SHARE = 0.3  # of the lines are such lines, again and again, with others between them

_ADVICE: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.MULTILINE), advice)
    for pattern, advice in (
        (
            r"^.{1,60}, \[\d{1,2}[./]\d{1,2}[./]\d{2,4},? \d",
            "it looks copied from Telegram; export it in Telegram Desktop as JSON",
        ),
        (
            r"^.{1,60}(?: — |\s—\s*)(?:오늘|어제|Today|Yesterday|\d{1,2}[./]\d|\d{4}[./-])"
            r"|^\{(?:Attachments|Reactions)\}|^Guild: ",
            "it looks like Discord; export it with DiscordChatExporter as JSON",
        ),
        (r"^.{1,60}  \d{1,2}:\d\d ?[AP]M$", "it looks copied from Slack; use Slack's export or slackdump"),
        (
            r"^\d{4}-\d\d-\d\d \d{1,2}:\d\d:\d\d .{1,60}[(<]\d{5,}",
            "it looks like QQ; make a CSV of it with the columns Date,User,Message",
        ),
        (r"^\W*\[LINE\]|^\d{1,2}:\d\d\t", 'it looks like LINE; save it again with LINE\'s "Export chat history"'),
        (
            r"^\W{0,3}\d{1,4}[./-]\d{1,2}[./-]\d{1,4},? .{0,15} - ",
            "it looks like WhatsApp; export it again without media",
        ),
        (
            r"^\d{4}년 ?\d{1,2}월 ?\d{1,2}일 ?오[전후] ?\d{1,2}:\d\d {1,9}[^\s,:]+ (?!: )\S",
            "it looks like Band in a form that does not say where a name ends; make a CSV of it with the columns "
            "Date,User,Message",
        ),
        (
            r"^\d{4}\.\d\d\.\d\d \d{1,2}:\d\d [^\d\s:][^\n:]{0,40}$",
            "it looks copied from Band; use Band's own export of a chat (대화 내용 내보내기)",
        ),
        (
            r"카카오톡|KakaoTalk|^.{0,40}오[전후] \d{1,2}:\d\d|^\[.{1,40}\] \[",
            "it looks like KakaoTalk; export it again with KakaoTalk's own export of a chat",
        ),
    )
)
_ELSE = "export it again from its app (docs/your-data.md lists them), or make a CSV with the columns Date,User,Message"


def has_header(sample: Iterable[str]) -> bool:
    """Return True if the first lines are the header of an export."""
    return _HEADER.search("\n".join([line.strip() for line in sample if line.strip()][:5])) is not None


def looks_like_a_chat(sample: list[str]) -> bool:
    """Return True if it seems to be a chat, in whatever layout."""
    lines = [line.rstrip("\r\n") for line in sample if line.strip()]
    clocks = sum(map(bool, map(_ANY_CLOCK.match, lines)))
    told = max(_CLOCK_SHARE * len(lines), min(len(lines) / 3, 2))  # one clock in a short text is none
    return (
        has_header(sample)
        or clocks >= told
        or any(_again(pattern, lines) > _SPEAKER_SHARE * len(lines) for pattern in _SPEAKERS)
        or _headed(lines)
        or _names_alone(lines)
    )


def advice(sample: list[str]) -> str:
    """Return what to do with a chat in an unknown layout, in the words of the app that it resembles."""
    text = "".join(sample[:2000]).replace("\r", "")
    return next((told for pattern, told in _ADVICE if pattern.search(text)), _ELSE)


def _again(pattern: re.Pattern[str], lines: list[str]) -> int:
    """Return the number of lines that begin with a name that also begins another one."""
    names = Counter(found[1] for found in map(pattern.match, lines) if found)
    return sum(count for count in names.values() if count > 1)


def _headed(lines: list[str]) -> bool:
    """Return True if lines say no more than when, and perhaps who: again and again, with texts between them."""
    found = list(filter(None, map(_STAMP.match, lines)))
    names = Counter((one["ahead"] + one["behind"]).strip(" ,-—:[]()\t") for one in found)
    again = sum(count for name, count in names.items() if count > 1 or not name)
    return len(found) >= 2 and again >= len(found) / 2


def _names_alone(lines: list[str]) -> bool:
    """Return True if names stand above what was said: marked as such, or every second or third line the same few."""
    marked = Counter(found[found.lastgroup or 0] for found in map(_ALONE.match, lines) if found)
    again = {name: count for name, count in marked.items() if count > 1}
    if len(again) >= 2 and sum(again.values()) > max(3, _ALONE_SHARE * len(lines)):
        return True
    short = [line.strip() for line in lines if len(line.strip()) <= _SHORT and any(map(str.isalpha, line))]
    bare = {name: count for name, count in Counter(short).items() if count > 2}
    total = sum(bare.values())
    return len(bare) >= 2 and total >= _REPEATED_SHARE * len(lines) and _apart(lines, set(bare))


def _apart(lines: list[str], names: set[str]) -> bool:
    """Return True if these lines hardly ever follow one another, as a name is followed by what was said."""
    are = [line.strip() in names for line in lines]
    return sum(one and other for one, other in pairwise(are)) <= 0.1 * sum(are)
