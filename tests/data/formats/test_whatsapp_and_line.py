"""WhatsApp's exports in the date orders of many countries, and LINE's with both of its day lines."""

from pathlib import Path

import pytest

from tests.exports import parse

ANDROID = """\
01/20/19, 11:20 - Messages and calls are end-to-end encrypted. No one outside of this chat can read them.
01/20/19, 11:21 - Ann created group "A: B"
01/20/19, 11:23 - Name Surname: msg: with a colon
second line

01/21/19, 00:05 - Zoë 🌸: 11:24 - Ann: hi
02/01/19, 12:05 - Ann: <Media omitted>
02/01/19, 12:06 - Ann: This message was deleted
02/01/19, 12:07 - Ann changed the subject from "x" to "y: z"
02/01/19, 12:08 - +82 10-1234-5678: Bob left
"""
ANDROID_SAID = [
    ("2019-01-20 11:23", "Name Surname", "msg: with a colon\nsecond line"),
    ("2019-01-21 00:05", "Zoë 🌸", "11:24 - Ann: hi"),
    ("2019-02-01 12:05", "Ann", "<Media omitted>"),
    ("2019-02-01 12:08", "+82 10-1234-5678", "Bob left"),
]
IOS = """\
[01/01/19, 11:25:03] Our group: \u200eMessages and calls are end-to-end encrypted.
\u200e[01/01/19, 11:25:04] Our group: \u200eAnn created this group
[01/01/19, 11:25:05] Ann: hello
there
\u200e[13/01/19, 00:00:00] ~\u202fBob: \u200eimage omitted
[13/01/19, 00:00:01] Bob: \u200eThis message was deleted.
[13/01/19, 12:00:59] Ann: left
"""
IOS_SAID = [
    ("2019-01-01 11:25:05", "Ann", "hello\nthere"),
    ("2019-01-13 00:00", "Bob", "image omitted"),
    ("2019-01-13 12:00:59", "Ann", "left"),
]
KOREAN = """\
24/8/21 PM 1:20 - 메시지와 통화는 종단간 암호화됩니다. 이 채팅방 외부에서는 아무도 읽을 수 없습니다.
24/8/21 PM 1:28 - 이름: 하나
24/8/21 AM 12:00 - 다른 이름: 자정
둘째 줄
24/8/21 PM 12:00 - 이름: 정오
"""
KOREAN_SAID = [
    ("2024-08-21 13:28", "이름", "하나"),
    ("2024-08-21 00:00", "다른 이름", "자정\n둘째 줄"),
    ("2024-08-21 12:00", "이름", "정오"),
]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("format", "content", "said", "system", "deleted"),
    [
        ("WhatsApp Android", ANDROID, ANDROID_SAID, 3, 1),
        ("WhatsApp iOS", IOS, IOS_SAID, 2, 1),
        ("WhatsApp Android", KOREAN, KOREAN_SAID, 1, 0),
    ],
)
def test_whatsapp(
    tmp_path: Path, format: str, content: str, said: list[tuple[str, str, str]], system: int, deleted: int, newline: str
) -> None:
    name, messages, counts = parse(tmp_path / "_chat.txt", content.replace("\n", newline), "utf-8-sig")
    assert (name, messages) == (format, said)
    assert (counts.system, counts.deleted, counts.broken) == (system, deleted, [])


@pytest.mark.parametrize(
    ("stamps", "times"),
    [
        (["[01/01/19 11:25] "], ["2019-01-01 11:25"]),
        (["12/31/20, 11:59 PM - ", "1/1/21, 12:05 AM - "], ["2020-12-31 23:59", "2021-01-01 00:05"]),
        (["1/2/24, 10:30\u202fAM - ", "1/2/24, 12:30\u202fPM - "], ["2024-01-02 10:30", "2024-01-02 12:30"]),
        (["01/02/24, 10:30 am - ", "01/02/24, 12:30 pm - "], ["2024-02-01 10:30", "2024-02-01 12:30"]),
        (["01.02.2024, 14:20 - ", "02.02.2024, 09:00 - "], ["2024-02-01 14:20", "2024-02-02 09:00"]),
        (["3/4/24, 10:00 - ", "4/4/24, 10:00 - ", "5/4/24, 9:00 - "], ["2024-04-03 10:00"]),
        (["3/4/24, 10:00 - ", "3/5/24, 10:00 - ", "3/6/24, 9:00 - "], ["2024-03-04 10:00"]),
        (["23/8/30, 10:00 - ", "23/8/31, 10:00 - ", "23/9/1, 9:00 - "], ["2023-08-30 10:00"]),
        (
            ["[2024. 8. 21. 오후 1:28:05] ", "[2024. 8. 21. 오전 12:28:05] "],
            ["2024-08-21 13:28:05", "2024-08-21 00:28:05"],
        ),
        (["2024년 8월 21일 오후 12:28 - "], ["2024-08-21 12:28"]),
        (["[12.3.2022 klo 14.08.18] ", "[13.3.2022 klo 9.08.18] "], ["2022-03-12 14:08:18", "2022-03-13 09:08:18"]),
        (["15/1/24, 10:30 p. m. - "], ["2024-01-15 22:30"]),
        (["2023-11-30, 07:52 - "], ["2023-11-30 07:52"]),
        (["[30-11-23 07:52:01] "], ["2023-11-30 07:52:01"]),
    ],
)
def test_whatsapp_dates_are_told_by_the_whole_file(tmp_path: Path, stamps: list[str], times: list[str]) -> None:
    _, messages, _ = parse(tmp_path / "a.txt", "".join(f"{stamp}Ann: hi\n" for stamp in stamps))
    assert [time for time, _, _ in messages][: len(times)] == times
    assert all(sender == "Ann" and text == "hi" for _, sender, text in messages)


LINE = '''\
[LINE] Chat history with Bob
Saved on: 2015/12/26 00:10

2015/12/25 Fri
00:00\tAnn: B\tmidnight
12:00\tBob\t"two
lines ""quoted"""
12:01\tBob\t"기생충" 봤어?
12:02\t\tAnn joined the group.
12:03\tBob unsent a message.
12:04\tBob\t2015/12/25 Fri
2015/12/26 Sat
09:05\tAnn: B\t"pasted:
2015/12/25 Fri
10:05\tBob\thi
end"
09:06\tBob\t[Photo]
'''
LINE_SAID = [
    ("2015-12-25 00:00", "Ann: B", "midnight"),
    ("2015-12-25 12:00", "Bob", 'two\nlines "quoted"'),
    ("2015-12-25 12:01", "Bob", '"기생충" 봤어?'),
    ("2015-12-25 12:04", "Bob", "2015/12/25 Fri"),
    ("2015-12-26 09:05", "Ann: B", "pasted:\n2015/12/25 Fri\n10:05\tBob\thi\nend"),
    ("2015-12-26 09:06", "Bob", "[Photo]"),
]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_line(tmp_path: Path, newline: str) -> None:
    name, messages, counts = parse(tmp_path / "a.txt", LINE.replace("\n", newline), "utf-8-sig")
    assert (name, messages) == ("LINE", LINE_SAID)
    assert (counts.system, counts.deleted) == (2, 0)


@pytest.mark.parametrize(
    ("days", "clock", "times"),
    [
        (["Sun, 26/04/2026"], "09:05", ["2026-04-26 09:05"]),
        (["Sun, 04/05/2025"], "9:05PM", ["2025-05-04 21:05"]),
        (["Fri, 9/11/2026", "Fri, 9/25/2026"], "9:05AM", ["2026-09-11 09:05", "2026-09-25 09:05"]),
        (["Tue, 06/01/2026"], "12:05AM", ["2026-01-06 00:05"]),
        (["Mon, 06/01/2026"], "12:05 PM", ["2026-06-01 12:05"]),
        (["2024/01/15(월)", "2024/01/16(화)"], "오후 01:28", ["2024-01-15 13:28", "2024-01-16 13:28"]),
        (["2024.01.02 Tuesday"], "21:30", ["2024-01-02 21:30"]),
        (["2024. 1. 2. 화요일"], "오전 12:30", ["2024-01-02 00:30"]),
        (["2026/1/30(金)"], "午後9:30", ["2026-01-30 21:30"]),
    ],
)
def test_line_days(tmp_path: Path, days: list[str], clock: str, times: list[str]) -> None:
    content = "".join(f"{day}\n{clock}\tAnn\thi\n\n" for day in days)
    name, messages, _ = parse(tmp_path / "a.txt", "[LINE] Chat history with Ann\nSaved on: x\n\n" + content)
    assert name == "LINE"
    assert [(sender, text) for _, sender, text in messages] == [("Ann", "hi")] * len(days)
    assert [time for time, _, _ in messages] == times


def test_a_quote_that_is_not_closed_ends_with_its_line(tmp_path: Path) -> None:
    lines = ["2015/12/25 Fri", '10:00\tAnn\t"hello', *(f'10:{m:02d}\tBob\tmessage {m}, 24"' for m in range(1, 9))]
    _, messages, _ = parse(tmp_path / "a.txt", "\n".join(lines))
    assert [text for _, _, text in messages] == ['"hello', *(f'message {m}, 24"' for m in range(1, 9))]


BAND = """2025년 12월 8일 오전 12:05:34 | 15 | 범유라:@박도담 안녕: 왔어?
2025년 12월 8일 오후 10:54:박도담:유라야 http://a.com/b

둘째 줄 10:55: 끝
2025년 12월 8일 오후 10:55:박도담님이 임아라님을 초대했습니다.
2025년 12월 8일 오후 10:56:박도담:
2025년 12월 9일 오후 1:00:12학번 서나율:삭제된 메시지입니다.
2025년 12월 9일 오후 1:01:12학번 서나율:사진
"""


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_band(tmp_path: Path, ends: str) -> None:
    name, messages, counts = parse(tmp_path / "a.txt", BAND.replace("\n", ends), "utf-8-sig")
    assert name == "Band"
    assert messages == [
        ("2025-12-08 00:05", "34 | 15 | 범유라", "@박도담 안녕: 왔어?"),
        ("2025-12-08 22:54", "박도담", "유라야 http://a.com/b\n\n둘째 줄 10:55: 끝"),
        ("2025-12-08 22:56", "박도담", ""),
        ("2025-12-09 13:01", "12학번 서나율", "사진"),
    ]
    assert (counts.system, counts.deleted, counts.broken, counts.odd) == (1, 1, [], [])
    assert counts.people >= {"박도담", "임아라"}


def test_band_after_kakaotalk_in_one_file(tmp_path: Path) -> None:
    kakao = "2025년 12월 7일 오후 1:18, 서나율 : 카톡\n" * 6 + "2025년 12월 7일 오후 1:19, 박도담님이 나갔습니다.\n"
    name, messages, counts = parse(tmp_path / "a.txt", kakao + BAND)
    assert name == "KakaoTalk Android, Korean" and counts.system == 2
    assert [sender for _, sender, _ in messages][5:8] == ["서나율", "34 | 15 | 범유라", "박도담"]
