"""Chats in layouts that are not known are refused, with advice; texts of other kinds are not."""

from pathlib import Path

import pytest

from data.errors import DataError
from data.formats.detect import PLAIN_TEXT
from data.prepare import prepare
from tests.exports import parse

SAID = [
    ("서나율", "도담아 밥 먹자"),
    ("박도담", "나율이 왔네"),
    ("서나율", "그래 지금 갈게"),
    ("박도담", "응 기다릴게"),
]
BODY = "\n".join(f"서로 다른 긴 이야기 {number}번" for number in range(11))


def shaped(shape: str) -> str:
    texts = [(name, f"{text} {number}") for number in range(5) for name, text in SAID]
    return "".join(shape.format(name=name, text=text) for name, text in texts)


@pytest.mark.parametrize(
    "shape",
    [
        "{name} - {text}\n",
        "{name} — {text}\n",
        "<{name}> {text}\n",
        "[{name}] {text}\n",
        "({name}) {text}\n",
        "{name}\t{text}\n",
        "{name} | {text}\n",
        "{name} > {text}\n",
        "@{name} {text}\n",
        "{name}\n{text}\n",
        "{name}\n{text}\n둘째 줄 {text}\n\n",
        "{name}:\n{text}\n" + BODY + "\n",
        "<{name}>\n{text}\n" + BODY + "\n",
        "2026.01.12 15:04 {name}\n{text}\n" + BODY + "\n",
        "{name}, 12 Jan 2026 15:04\n{text}\n" + BODY + "\n",
        "{name} (Monday, January 12, 2026 at 3:04 PM)\n" + BODY + "\n",
    ],
)
def test_names_before_texts_in_any_shape_are_refused(tmp_path: Path, shape: str) -> None:
    with pytest.raises(DataError, match="layout that is not known"):
        parse(tmp_path / "a.txt", shaped(shape))


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ("{name}, [12.01.2026 15:04]\n{text}\n\n", "copied from Telegram; export it in Telegram Desktop as JSON"),
        ("{name} — 오늘 오후 1:00\n{text}\n", "Discord; export it with DiscordChatExporter"),
        ("{name}  3:04 PM\n{text}\n", "Slack's export or slackdump"),
        ("2026-01-12 15:04:05 {name}(123456)\n{text}\n\n", "looks like QQ; make a CSV"),
        ("{name} 오후 3:04\n{text}\n", "KakaoTalk's own export"),
        ("2026년 1월 12일 오후 3:04 {name} {text}\n", "looks like Band in a form that does not say where a name ends"),
        ("2026.01.12 15:04 {name}\n{text}\n", "copied from Band; use Band's own export"),
        ("<{name}> {text}\n", "docs/your-data.md lists them"),
    ],
)
def test_the_advice_is_that_of_the_app_it_looks_like(tmp_path: Path, shape: str, told: str) -> None:
    with pytest.raises(DataError) as caught:
        parse(tmp_path / "a.txt", shaped(shape))
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "1장 — 시작\n그날은 비가 왔다.\n\n2장 — 끝\n다음 날은 맑았다.\n",
        "- 하나\n- 둘\n- 셋\n* 넷\n",
        "2026년 1월 12일\n오늘은 쉬었다.\n2026년 1월 13일\n오늘도 쉬었다.\n",
        "재밌다\n별로\n재밌다\n최고의 영화\n시간이 아깝다\n별로\n배우가 좋다\n그냥 그럼\n",
        "(웃음) 그래서 말했다\n[사진 1] 바다\n<표 2> 매출\n(박수) 감사합니다\n",
    ],
)
def test_texts_of_other_kinds_are_plain_text(tmp_path: Path, text: str) -> None:
    assert parse(tmp_path / "a.txt", text)[0] == PLAIN_TEXT


def test_more_than_two_of_a_hundred_odd_lines_are_said_with_their_numbers(tmp_path: Path) -> None:
    good = "".join(f"2026년 1월 12일 오후 3:{minute:02d}, 서나율 : 말 {minute}\n" for minute in range(50))
    odd = "2026/01/12 15:04 <서나율> 이상한 줄\n"
    for count, said in ((1, False), (2, True)):
        (tmp_path / "a.txt").write_text(good + odd * count, encoding="utf-8")
        told: list[str] = []
        prepare(tmp_path / "a.txt", tmp_path / "out", report=told.append)
        line = "2 of 52 lines look like messages, but not of KakaoTalk Android, Korean (line 51, 52)"
        assert any(line in one for one in told) == said
