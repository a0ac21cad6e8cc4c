"""The layouts of chats as lines of text: KakaoTalk from Windows, Android and iOS, WhatsApp, LINE and Band.

Spaces before AM and PM may be narrow, and WhatsApp puts marks of direction nearly everywhere.
"""

import re

from data.formats.app_lines import WHAT_APPS_SAY
from data.formats.dates import CLOCK, NUMBERS, SPACE
from data.formats.messages import MARKS
from data.formats.text_chats import Layout

_START = f"[{MARKS}]*"
_SENDER = r"(?P<sender>[^\n]{1,100}?)"
_TEXT = r"(?P<text>(?s:.*))"
_NAMED = r"(?P<month>[A-Z][a-z]{2,8})\.? (?P<day>\d{1,2}), (?P<year>\d{4})"
_DAY_FIRST = r"(?P<day>\d{1,2}) (?P<month>[A-Z][a-z]{2,8})\.? (?P<year>\d{4})"
_FULL_MONTH = "January|February|March|April|May|June|July|August|September|October|November|December"
_WEEKDAY = "[A-Z][a-z]{2,8}"
# What KakaoTalk says in a chat, in words by which it can be told from a second line of a message.
_KAKAO_SAYS = (
    r"[^\n]{1,100}?님(?:이|을|과) [^\n]{0,200}?(?:들어왔|나갔|초대했|초대하였|내보냈|부방장이 되었|방장이 되었|"
    r"부방장에서 해제되었|가렸)습니다\."
    r"|(?:채팅방 )?관리자가 메시지를 가렸습니다\.|메시지가 삭제되었습니다\.?$|삭제된 메시지입니다\.?$"
    r"|This message was deleted\.?$"
    r"|[^\n]{1,100}? (?:joined|left|(?:has been|was) removed from) this chatroom\."
)
_KAKAO_SYSTEM_SENDER = re.compile(r"님(?:이|을) .*(?:들어왔|나갔|초대했|초대하였|내보냈)습니다\.")
# A line with a date alone, with which KakaoTalk on phones begins a day.
_KAKAO_DAY = re.compile(
    r"(?:\d{4}년 \d{1,2}월 \d{1,2}일|\d{4}\. \d{1,2}\. \d{1,2}\.)"
    r"(?: .요일)?(?: (?:(?:오전|오후) )?\d{1,2}:\d\d)?$"
    rf"|(?:{_WEEKDAY}, )?(?:{_WEEKDAY} \d{{1,2}}|\d{{1,2}} {_WEEKDAY}),? \d{{4}}"
    rf"(?:(?:,| at) \d{{1,2}}:\d\d(?:{SPACE}[AP]M)?)?$"
    rf"|\d{{1,2}}:\d\d(?:[ap]m)?, {_WEEKDAY} \d{{1,2}}, \d{{4}}$"
)


def _kakao_phone(name: str, stamp: str) -> Layout:
    stamp = _START + stamp
    return Layout(
        f"KakaoTalk {name}",
        message=re.compile(rf"{stamp}, {_SENDER} :(?:[ \n]{_TEXT}|\Z|(?=\r?\n))"),
        day=_KAKAO_DAY,
        system=re.compile(rf"{stamp}(?:,|:(?!\S))"),  # Band's messages go on at once
        system_sender=_KAKAO_SYSTEM_SENDER,
    )


def _whatsapp(name: str, before: str, after: str) -> Layout:
    stamp = (
        rf"{_START}{before}{NUMBERS}[,.]?{SPACE}(?:(?:klo|kl\.|at|um|às|à|a las|alle){SPACE})?{CLOCK}{after}{_START}"
    )
    return Layout(
        f"WhatsApp {name}",
        message=re.compile(rf"{stamp}(?P<sender>[^\n]{{1,100}}?):(?:(?: |(?![\s\d/])){_TEXT}|\Z|(?=\r?\n))"),
        day=re.compile("(?!)"),
        system=re.compile(stamp),
        system_sender=WHAT_APPS_SAY,
    )


LAYOUTS = (
    Layout(
        "KakaoTalk for Windows",
        message=re.compile(rf"{_START}\[{_SENDER}\] \[{CLOCK}\](?: {_TEXT}|\Z|(?=\r?\n))"),
        day=re.compile(rf"-{{5,}} ?(?:{NUMBERS}(?: .요일)?|(?:{_WEEKDAY}, )?{_NAMED}) ?-{{5,}}$"),
        system=re.compile(_KAKAO_SAYS),
    ),
    _kakao_phone("Android, Korean", rf"(?=\d{{4}}년){NUMBERS} {CLOCK}"),
    _kakao_phone("Android, English", rf"(?=(?:{_FULL_MONTH}) \d){_NAMED}(?:,| at) {CLOCK}"),
    _kakao_phone("Android, English of 2015", rf"{CLOCK}, {_NAMED}"),
    _kakao_phone("iOS, Korean", rf"(?=\d{{4}}\. ){NUMBERS} {CLOCK}"),
    _kakao_phone("iOS, English", rf"{_NAMED}(?:,| at) {CLOCK}"),
    _kakao_phone("iOS, English, day first", rf"{_DAY_FIRST}(?:,| at) {CLOCK}"),
    _whatsapp("Android", "", f"{SPACE}[-–]{SPACE}"),
    _whatsapp("iOS", r"\[", rf"\]{SPACE}"),
    Layout(
        "Band",  # `2025년 12월 8일 오후 10:54:이름:글`, and nothing between the colons and them
        message=re.compile(
            rf"{_START}(?=\d{{4}}년){NUMBERS} ?(?P<before>오전|오후) ?(?P<hour>\d{{1,2}}):(?P<minute>\d\d)"
            rf"(?P<second>)(?P<after>):(?P<sender>[^\n:]{{1,100}}):{_TEXT}"
        ),
        day=re.compile("(?!)"),
        system=re.compile(rf"{_START}\d{{4}}년 ?\d{{1,2}}월 ?\d{{1,2}}일 ?(?:오전|오후) ?\d{{1,2}}:\d\d(?::|\s*$)"),
        system_sender=_KAKAO_SYSTEM_SENDER,
    ),
    Layout(
        "LINE",
        message=re.compile(rf"{_START}{CLOCK}\t(?P<sender>[^\t\n]{{1,100}}(?<!:))\t{_TEXT}"),
        day=re.compile(
            rf"{_START}(?:(?P<weekday>\w{{1,9}})[,.] ?)?{NUMBERS} ?"
            r"(?:[(（]?(?P<weekday_after>[^\W\d]{1,9})[)）]?)?\s*$"
        ),
        system=re.compile(rf"{_START}{CLOCK}\t"),
        quotes=True,
    ),
)
