"""KakaoTalk's text exports, from Windows, Android and iOS, in Korean and English, old and new."""

from pathlib import Path

import pytest

from tests.exports import parse

WINDOWS_KOREAN = """\
우리 반 님과 카카오톡 대화
저장한 날짜 : 2020-11-03 10:44:52

--------------- 2020년 6월 28일 일요일 ---------------
홍길동님이 들어왔습니다.운영정책을 위반한 메시지로 신고 접수 시 카카오톡 이용에 제한이 있을 수 있습니다.
[홍길동] [오전 12:01] 첫 줄

셋째 줄 : 끝
[이 [대리]] [오후 12:30] 사진
홍길동님이 김철수님을 초대했습니다.
[홍길동] [오후 1:02] 철수님이 나갔습니다.
[김: 철수] [오후 1:03] 삭제된 메시지입니다.
[김: 철수] [오후 1:04] [오후 1:05] 라고 쓰여 있네
채팅방 관리자가 메시지를 가렸습니다.

--------------- 2020년 6월 29일 월요일 ---------------
[홍길동] [오전 11:59] --------------- 2019년 1월 1일 화요일 ---------------
[홍길동] [20:36] 저장한 날짜 : 어제
[Alice] [AM 9:04] 하나
[Alice] [PM 12:00] 둘
이 [대리]님을 내보냈습니다.
이 [대리]님이 나갔습니다.
"""
WINDOWS_KOREAN_SAID = [
    ("2020-06-28 00:01", "홍길동", "첫 줄\n\n셋째 줄 : 끝"),
    ("2020-06-28 12:30", "이 [대리]", "사진"),
    ("2020-06-28 13:02", "홍길동", "철수님이 나갔습니다."),
    ("2020-06-28 13:04", "김: 철수", "[오후 1:05] 라고 쓰여 있네"),
    ("2020-06-29 11:59", "홍길동", "--------------- 2019년 1월 1일 화요일 ---------------"),
    ("2020-06-29 20:36", "홍길동", "저장한 날짜 : 어제"),
    ("2020-06-29 09:04", "Alice", "하나"),
    ("2020-06-29 12:00", "Alice", "둘"),
]
WINDOWS_ENGLISH = """\
Study with KakaoTalk Chats
Date Saved : 2015-08-03 00:47:14

--------------- Saturday, August 1, 2015 ---------------
Kim joined this chatroom.
[Kim] [12:00 AM] midnight
[Lee, Ann] [12:00 PM] noon
and more
Kim invited Lee, Ann.
[Kim] [2:37 PM] Bob left this chatroom.
Lee, Ann has been removed from this chatroom.

--------------- Sunday, August 2, 2015 ---------------
[Kim] [11:59 PM] This message was deleted.
[Kim] [11:59 PM] photo
"""
WINDOWS_ENGLISH_SAID = [
    ("2015-08-01 00:00", "Kim", "midnight"),
    ("2015-08-01 12:00", "Lee, Ann", "noon\nand more"),
    ("2015-08-01 14:37", "Kim", "Bob left this chatroom."),
    ("2015-08-02 23:59", "Kim", "photo"),
]
ANDROID_KOREAN = """\
우리 방 27 님과 카카오톡 대화
저장한 날짜 : 2026년 2월 16일 오후 4:45


2025년 12월 15일 오후 1:14
2025년 12월 15일 오후 1:14, 홍길동님이 들어왔습니다.
2025년 12월 15일 오후 1:18, 홍길동 : 첫 줄

둘째 줄 : 끝
2025년 12월 15일 오후 1:18, 김 : 철수 : 네 : 네
2025년 12월 15일 오후 1:19, 김철수 : 홍길동님이 나갔습니다.
2025년 12월 15일 오후 1:20, 김철수 : 삭제된 메시지입니다.
2025년 12월 15일 오후 1:21, 홍길동님이 나갔습니다. 공지 : 내일 봐요

2025년 12월 16일 오전 12:05
2025년 12월 16일 오전 12:05, 김철수 :  자정
2025년 12월 16일 오후 12:05, 김철수 : 정오
2025년 12월 16일 오후 12:06, 회원님 : 2025년 12월 16일 오후 12:06
"""
ANDROID_KOREAN_SAID = [
    ("2025-12-15 13:18", "홍길동", "첫 줄\n\n둘째 줄 : 끝"),
    ("2025-12-15 13:18", "김", "철수 : 네 : 네"),
    ("2025-12-15 13:19", "김철수", "홍길동님이 나갔습니다."),
    ("2025-12-16 00:05", "김철수", "자정"),
    ("2025-12-16 12:05", "김철수", "정오"),
    ("2025-12-16 12:06", "회원님", "2025년 12월 16일 오후 12:06"),
]
ANDROID_ENGLISH = """\
KakaoTalk Chats with 김한길
Date Saved : November 3, 2020, 1:08 PM


February 10, 2016, 2:33 AM
February 10, 2016, 2:33 AM, you : Photo
February 10, 2016, 2:34 AM, 김한길 : 번호표 배부 : 9:00 ~ 18:20까지
- 입장시간: 18시
February 10, 2016, 2:34 AM, 김한길 invited Ann and Bob.

May 2, 2016, 12:18 PM
May 2, 2016, 12:18 PM, you : noon
"""
ANDROID_ENGLISH_SAID = [
    ("2016-02-10 02:33", "you", "Photo"),
    ("2016-02-10 02:34", "김한길", "번호표 배부 : 9:00 ~ 18:20까지\n- 입장시간: 18시"),
    ("2016-05-02 12:18", "you", "noon"),
]
ANDROID_2015 = """\
KakaoTalk Chats with Ann,박영우 (4)
Date Saved : 1:01am, August 3, 2015


8:34pm, July 9, 2015
8:34pm, July 9, 2015, 박영우 invited Ann and 강수지.
8:34pm, July 9, 2015, 박영우 : 안녕하세요
혹시 여기가
12:00am, July 10, 2015, you : <Photo>
"""
ANDROID_2015_SAID = [
    ("2015-07-09 20:34", "박영우", "안녕하세요\n혹시 여기가"),
    ("2015-07-10 00:00", "you", "<Photo>"),
]
IOS_KOREAN = """\
멘토님방 (4명)과 카카오톡 대화-1.txt
저장한 날짜 : 2015. 8. 3. 오전 12:15



2015년 7월 9일 목요일
2015. 7. 9. 오후 8:34: 박영우님이 김민기님과 수ㅈ님을 초대했습니다.
2015. 7. 9. 오후 8:34, 박영우 : 안녕하세요.
두 줄
2015. 7. 9. 오후 12:35, 회원님 : 맞아용 ㅎㅎ

2015년 7월 10일 금요일
2015. 7. 10. 오전 12:50, 김민기 : 2015년 7월 10일 금요일
"""
IOS_KOREAN_SAID = [
    ("2015-07-09 20:34", "박영우", "안녕하세요.\n두 줄"),
    ("2015-07-09 12:35", "회원님", "맞아용 ㅎㅎ"),
    ("2015-07-10 00:50", "김민기", "2015년 7월 10일 금요일"),
]
IOS_KOREAN_2026 = """\
Talk_2026.1.27 21:40-1.txt
저장한 날짜 : 2026. 1. 27. 21:40


2026년 1월 27일 화요일
2026. 1. 27. 00:05, 박영우 : 자정
2026. 1. 27. 21:37, 박영우 : 밤
"""
IOS_KOREAN_2026_SAID = [("2026-01-27 00:05", "박영우", "자정"), ("2026-01-27 21:37", "박영우", "밤")]
IOS_ENGLISH = """\
KakaoTalk Chats with 멘토님방 (4 people)-1.txt
Date Saved : Aug 3, 2015, 12:20 AM


Thursday, July 9, 2015
Jul 9, 2015, 8:34 PM: 박영우 invited 김민기 and 수ㅈ.
Jul 9, 2015, 8:34 PM, 박영우 : 안녕하세요
Jul 9, 2015, 12:00\u202fAM, You : 맞아용
둘

Friday, July 10, 2015
Jul 10, 2015, 12:50 PM, 김민기 : Thursday, July 9, 2015
"""
IOS_ENGLISH_SAID = [
    ("2015-07-09 20:34", "박영우", "안녕하세요"),
    ("2015-07-09 00:00", "You", "맞아용\n둘"),
    ("2015-07-10 12:50", "김민기", "Thursday, July 9, 2015"),
]
IOS_ENGLISH_24 = """\
Talk_2026.4.25 10:20-1.txt
Date Saved : Apr 25, 2026 at 10:38


Wednesday, December 31, 2014
Dec 31, 2014 at 19:12, X : 하나
Dec 31, 2014 at 0:12, Y : 둘
"""
IOS_ENGLISH_24_SAID = [("2014-12-31 19:12", "X", "하나"), ("2014-12-31 00:12", "Y", "둘")]
IOS_DAY_FIRST = """\
Talk_2026.4.25 10:20-1.txt
Date Saved : 25 Apr 2026 at 10:38


Wednesday, 31 December 2014
31 Dec 2014 at 19:12, X : 하나
"""
IOS_DAY_FIRST_SAID = [("2014-12-31 19:12", "X", "하나")]
ALL = [
    ("KakaoTalk for Windows", WINDOWS_KOREAN, WINDOWS_KOREAN_SAID, 4, 2),
    ("KakaoTalk for Windows", WINDOWS_ENGLISH, WINDOWS_ENGLISH_SAID, 3, 1),
    ("KakaoTalk Android, Korean", ANDROID_KOREAN, ANDROID_KOREAN_SAID, 2, 1),
    ("KakaoTalk Android, English", ANDROID_ENGLISH, ANDROID_ENGLISH_SAID, 1, 0),
    ("KakaoTalk Android, English of 2015", ANDROID_2015, ANDROID_2015_SAID, 1, 0),
    ("KakaoTalk iOS, Korean", IOS_KOREAN, IOS_KOREAN_SAID, 1, 0),
    ("KakaoTalk iOS, Korean", IOS_KOREAN_2026, IOS_KOREAN_2026_SAID, 0, 0),
    ("KakaoTalk iOS, English", IOS_ENGLISH, IOS_ENGLISH_SAID, 1, 0),
    ("KakaoTalk iOS, English", IOS_ENGLISH_24, IOS_ENGLISH_24_SAID, 0, 0),
    ("KakaoTalk iOS, English, day first", IOS_DAY_FIRST, IOS_DAY_FIRST_SAID, 0, 0),
]


@pytest.mark.parametrize(("newline", "encoding"), [("\n", "utf-8"), ("\r\n", "utf-8-sig"), ("\r\n", "utf-16")])
@pytest.mark.parametrize(("format", "content", "said", "system", "deleted"), ALL)
def test_layouts(
    tmp_path: Path,
    format: str,
    content: str,
    said: list[tuple[str, str, str]],
    system: int,
    deleted: int,
    newline: str,
    encoding: str,
) -> None:
    name, messages, counts = parse(tmp_path / "chat.csv", content.replace("\n", newline), encoding)  # a misleading name
    assert name == format
    assert messages == said
    assert (counts.system, counts.deleted, counts.broken) == (system, deleted, [])


def test_the_header_may_be_another_ones(tmp_path: Path) -> None:
    body = WINDOWS_KOREAN.split("\n\n", 1)[1]
    for header in (
        "",
        "X with KakaoTalk Chats\nDate Saved : 2015-08-03 00:47:14\n\n",
        "[LINE] Chat history with X\n\n",
        "Date,User,Message\n",
    ):
        name, messages, _ = parse(tmp_path / "a.txt", header + body)
        assert (name, messages) == ("KakaoTalk for Windows", WINDOWS_KOREAN_SAID)


@pytest.mark.parametrize(
    ("head", "inside"),
    [
        ("2025년 12월 15일 오후 1:18, 철수 : ", "2025년 12월 15일 오후 1:00, 영희 : 라고 했어"),
        ("2025년 12월 15일 오후 1:18, 철수 : ", "2025년 12월 15일 오후 1:00"),
        ("Jul 9, 2015, 8:34 PM, X : ", "Jul 9, 2015, 8:30 PM, Y : hi"),
        ("2015. 7. 9. 오후 8:34, X : ", "2015. 7. 9. 오후 8:34: Y님이 나갔습니다."),
    ],
)
def test_crlf_ends_a_record_and_lf_is_inside_a_message(tmp_path: Path, head: str, inside: str) -> None:
    content = f"방 님과 카카오톡 대화\n\r\n\r\n{head}봐봐\n{inside}\n끝\r\n{head}다음\r\n"
    _, messages, counts = parse(tmp_path / "a.txt", content)
    assert [text for _, _, text in messages] == [f"봐봐\n{inside}\n끝", "다음"]
    assert counts.system == 0


def test_a_message_typed_with_crlf_in_a_copy_saved_with_lf(tmp_path: Path) -> None:
    lines = [f"2025년 12월 15일 오후 1:{minute:02d}, 철수 : 말 {minute}" for minute in range(10)]
    lines[4] += "\r"  # as an editor leaves it that mends only what is typed
    _, messages, _ = parse(tmp_path / "a.txt", "\n".join(lines))
    assert [text for _, _, text in messages] == [f"말 {minute}" for minute in range(10)]


def test_messages_without_text_and_without_a_day(tmp_path: Path) -> None:
    content = (
        "[철수] [오후 1:02] 언제\n--------------- 2020년 6월 31일 화요일 ---------------\n[철수] [오후 1:03]\n둘째\n"
    )
    _, messages, _ = parse(tmp_path / "a.txt", content)
    assert messages == [("", "철수", "언제"), ("", "철수", "둘째")]
    _, messages, _ = parse(
        tmp_path / "b.txt", "2025년 12월 15일 오후 1:18, 철수 : \n2025년 12월 15일 오후 1:19, 영희 :\n"
    )
    assert messages == [("2025-12-15 13:18", "철수", ""), ("2025-12-15 13:19", "영희", "")]


def test_times_that_run_backwards_stay_as_they_are(tmp_path: Path) -> None:
    content = "2025. 12. 15. 오후 1:18, 철수 : 하나\n2025. 12. 14. 오전 9:00, 영희 : 둘\n"
    _, messages, _ = parse(tmp_path / "a.txt", content)
    assert [time for time, _, _ in messages] == ["2025-12-15 13:18", "2025-12-14 09:00"]


def test_mixed_encodings_and_lines_that_are_no_text(tmp_path: Path) -> None:
    lines = [f"[김철수] [오후 1:{minute:02d}] 말 {minute}" for minute in range(10)]
    raw = [line.encode("cp949" if number % 2 else "utf-8") for number, line in enumerate(lines)]
    raw[4] = raw[4][:-6] + b"\xff\xfe"
    raw[7] += b"\0\0"
    content = "--------------- 2020년 6월 28일 일요일 ---------------".encode("cp949")
    _, messages, counts = parse(tmp_path / "a.txt", b"\n".join([content, *raw]))
    assert messages == [(f"2020-06-28 13:{m:02d}", "김철수", f"말 {m}") for m in range(10) if m not in (4, 7)]
    assert counts.broken == [6, 9]


def test_a_chat_full_of_commas_is_no_table(tmp_path: Path) -> None:
    lines = [f"2025년 12월 15일 오후 1:{minute}, 철수 : 하나, 둘; 셋\t넷, {minute}" for minute in range(10, 40)]
    for separator in (",", ";", "\t"):
        content = "\n".join(line.replace(", 둘", f"{separator} 둘") for line in lines)
        name, messages, _ = parse(tmp_path / "a.csv", content)
        assert (name, len(messages)) == ("KakaoTalk Android, Korean", 30)
