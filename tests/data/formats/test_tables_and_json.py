"""Chats as CSV, also after a spreadsheet, as JSON Lines and as Telegram's JSON; and plain text."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from data.errors import DataError
from data.formats import files, json_stream, tables
from data.formats.detect import PLAIN_TEXT
from tests.exports import parse
from tests.synthetic import CORPORA

REPOSITORY = Path(__file__).parents[3]
HEADER = "Date,User,Message\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949", "utf-16"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_csv_of_kakaotalk_for_mac(tmp_path: Path, encoding: str, newline: str) -> None:
    rows = """2026-05-17 00:00:00,민준,"둘째 줄은
""여기"", 끝"
2026-05-17 12:01:07,"김, 서연: B",NA
,,메시지가 삭제되었습니다.
,,서연님이 들어왔습니다.
2026-05-17 12:02:00,"서연","서연님이 나갔습니다."
2026-05-17 12:02:00,"서연","서연 invited 민준 and."
2026-05-17 12:03:00,민준,서연님이 나갔습니다.
2026-05-17 12:04:00,민준,"2026-05-17 12:04:00,민준,따온 행
2026-05-17 12:04:00,민준,또"
2026-05-17 12:05:00,민준,
"""
    name, messages, counts = parse(tmp_path / "chat.txt", (HEADER + rows).replace("\n", newline), encoding)
    assert name == "CSV export"
    assert messages == [
        ("2026-05-17 00:00", "민준", '둘째 줄은\n"여기", 끝'),
        ("2026-05-17 12:01:07", "김, 서연: B", "NA"),
        ("2026-05-17 12:03", "민준", "서연님이 나갔습니다."),
        ("2026-05-17 12:04", "민준", "2026-05-17 12:04:00,민준,따온 행\n2026-05-17 12:04:00,민준,또"),
        ("2026-05-17 12:05", "민준", ""),
    ]
    assert (counts.system, counts.deleted, counts.broken) == (3, 1, [])


def test_broken_rows_are_counted_and_the_others_used(tmp_path: Path) -> None:
    rows = [
        "2026-05-17 09:00:00,민준,안녕, 쉼표가 많다",
        "2026-05-17 09:01:00,서연,하나",
        "2026-05-17 09:02:00,서연",
        '2026-05-17 09:03:00,민준,"닫지 않은 따옴표',
        '2026-05-17 09:04:00,서연,"둘\n셋"',
        "날짜 없음,민준,넷",
    ]
    _, messages, counts = parse(tmp_path / "chat.csv", HEADER + "\r\n".join(rows) + "\r\n")
    assert [(time, text) for time, _, text in messages] == [
        ("2026-05-17 09:01", "하나"),
        ("2026-05-17 09:04", "둘\n셋"),
        ("", "넷"),
    ]
    assert counts.broken == [2, 4, 5]


def test_a_bomb_of_quotes_breaks_only_its_own_rows(tmp_path: Path) -> None:
    good = [f"2026-05-17 09:00:{second:02d},민준,말 {second}" for second in range(50)]
    bombs = ['"' * 99_999, *('"' for _ in range(3001)), '2026-05-17 09:00:00,민준,"']
    _, messages, counts = parse(tmp_path / "chat.csv", HEADER + "\n".join([*good[:25], *bombs, *good[25:]]))
    assert [text for _, _, text in messages] == [f"말 {second}" for second in range(50)]
    assert counts.broken[0] == 27


@pytest.mark.parametrize(
    ("header", "row", "time"),
    [
        ("Date;User;Message", "17.05.2026 09:05;민준;안녕, 뭐해", "2026-05-17 09:05"),
        ("Date\tUser\tMessage", "2026-05-17 9:05\t민준\t안녕, 뭐해", "2026-05-17 09:05"),
        ("sep=;\nDate;User;Message", "2026/5/17 12:05 AM;민준;안녕, 뭐해", "2026-05-17 00:05"),
        ("Date,User,Message,,", '5/17/2026 9:05,민준,"안녕, 뭐해",,', "2026-05-17 09:05"),
        ("Date,User,Message", '2026-05-17 오후 12:05:09,민준,"안녕, 뭐해"', "2026-05-17 12:05:09"),
        ("Date,User,Message", '46159.378472,민준,"안녕, 뭐해"', "2026-05-17 09:05"),
        ("Date,User,Message", '########,민준,"안녕, 뭐해"', ""),
        ("Date,User,Message", '17-May-26 9:05,민준,"안녕, 뭐해"', "2026-05-17 09:05"),
        ("Date,User,Message", '2026-05-17T09:05:00+09:00,민준,"안녕, 뭐해"', "2026-05-17 09:05"),
        ("날짜,보낸사람,내용", '2026. 5. 17. 오후 9:05,민준,"안녕, 뭐해"', "2026-05-17 21:05"),
        ("Message,Date,User", '"안녕, 뭐해",2026년 5월 17일 9:05,민준', "2026-05-17 09:05"),
        ("2026-05-17 09:04:00,민준,첫 줄", '2026-05-17 09:05:00,민준,"안녕, 뭐해"', "2026-05-17 09:05"),
    ],
)
def test_what_a_spreadsheet_makes_of_it(tmp_path: Path, header: str, row: str, time: str) -> None:
    name, messages, counts = parse(tmp_path / "a.csv", f"{header}\r\n{row}\r\n", "utf-8-sig")
    assert name == "CSV export"
    assert messages[-1] == (time, "민준", "안녕, 뭐해")
    assert counts.broken == []


def test_a_spreadsheets_dates_are_told_by_all_rows(tmp_path: Path) -> None:
    rows = "".join(f"{day}/4/2026 9:00,민준,말\n" for day in range(9, 14))
    _, messages, _ = parse(tmp_path / "a.csv", HEADER + rows)
    assert [time for time, _, _ in messages] == [f"2026-04-{day:02d} 09:00" for day in range(9, 14)]


def test_a_spreadsheet_of_an_old_mac(tmp_path: Path) -> None:
    _, messages, _ = parse(
        tmp_path / "a.csv", "Date,User,Message\r2026-05-17 09:05,민준,하나\r2026-05-17 09:06,민준,둘\r"
    )
    assert [text for _, _, text in messages] == ["하나", "둘"]


def test_rows_are_in_order_wherever_they_are_cut_for_pandas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        "2026-05-17 09:00:00,민준,하나",
        '\ufeff\ufeff"날짜",민준,둘',
        "없음",
        '2026-05-17 09:00:00,서연,"셋\n,"',
        "",
        "",
    ]
    content = HEADER + "\n".join(rows * 5)
    whole = parse(tmp_path / "a.csv", content)
    assert [text for _, _, text in whole[1]] == ["하나", "둘", "셋\n,"] * 5
    assert whole[2].broken == [4, 11, 18, 25, 32]
    for many in (1, 2, 3, 4):
        monkeypatch.setattr(tables, "_ROWS_AT_ONCE", many)
        assert parse(tmp_path / "a.csv", content) == whole
    monkeypatch.setattr(tables, "_CHARACTERS_AT_ONCE", 1)
    assert parse(tmp_path / "a.csv", content) == whole


@pytest.mark.lan
def test_a_large_table_is_read_in_little_memory(tmp_path: Path) -> None:
    script = (
        "import resource, sys; from pathlib import Path; from data.formats.detect import detect\n"
        "from data.formats.files import find; from data.formats.messages import Counts\n"
        "most = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
        "def read(name):\n"
        "    (source,), _, _ = find([Path(name)])\n"
        "    return sum(1 for _ in detect(source).format.messages(source, Counts()))\n"
        "small, before = read(sys.argv[1]), most()\n"
        "large, grown, before = read(sys.argv[2]), most() - before, most()\n"
        "print(large, grown, read(sys.argv[3]), most() - before)"
    )
    row = "2026-05-17 09:00:00,민준,그냥 하는 말이 조금 길어서 줄 하나가 된다\n"
    paths = [tmp_path / "small.csv", tmp_path / "large.csv", tmp_path / "quotes.csv"]
    for path, count in zip(paths, (20_000, 300_000)):
        path.write_text(HEADER + row * count, encoding="utf-8")
    paths[2].write_text(HEADER + row + '2026-05-17 09:00:00,민준,"' + '""' * 4_000_000 + '"\n', encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", script, *paths], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    messages, grown, quotes, grown_by_quotes = map(int, done.stdout.split())
    assert (messages, quotes) == (300_000, 2)
    assert grown < 10e6, "of a file of 25 MB"
    assert grown_by_quotes < 200e6, "of a row of 8 MB"


@pytest.mark.parametrize(
    "statement", ["import data.prepare, data.__main__", "import peer.__main__", "import minigpt.generate"]
)
@pytest.mark.lan
def test_pandas_is_loaded_for_tables_alone(statement: str) -> None:
    script = f"import sys; {statement}; sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY).returncode == 0


def test_a_runs_settings_load_next_to_nothing_of_data() -> None:
    script = (
        "import sys, minigpt.settings; print(*sorted(name for name in sys.modules if name.split('.')[0] == 'data'))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) - {"dataclasses"} == {"data", "data.errors", "data.options", "data.terminal"}


def test_json_lines(tmp_path: Path) -> None:
    lines = [
        {"text": "글 하나\n둘째 줄"},
        {"text": "말", "sender": "민준", "date": "2026-05-17 09:05:00"},
        {"label": 1},
        "글",
        {"text": "반쪽 \ud83d 이모지"},
    ]
    content = "\n".join(map(json.dumps, lines)) + '\n{"text": "닫지 않은\n\n{"text": "끝"}\n'
    name, messages, counts = parse(tmp_path / "a.txt", content, "utf-8-sig")
    assert name == "JSON Lines"
    assert messages == [
        ("", None, "글 하나\n둘째 줄"),
        ("2026-05-17 09:05", "민준", "말"),
        ("", None, "반쪽  이모지"),
        ("", None, "끝"),
    ]
    assert counts.broken == [3, 4, 6]


@pytest.mark.parametrize("key", ["sender", "sender_name", "speaker", "user", "username", "from", "nickname"])
def test_whoever_says_a_json_line_is_its_sender(tmp_path: Path, key: str) -> None:
    _, messages, _ = parse(tmp_path / "a.jsonl", json.dumps({"text": "말", key: "민준"}))
    assert messages == [("", "민준", "말")]


def message(id: int, text: Any, **more: Any) -> dict[str, Any]:
    return {"id": id, "type": "message", "date": f"2025-01-15T00:{id:02d}:00", "from": "Kim: A", "text": text, **more}


MESSAGES = [
    {"id": 1, "type": "service", "date": "2025-01-15T00:00:00", "actor": "Kim", "action": "create_group", "text": ""},
    message(2, 'hello "quoted"\n둘째 줄'),
    message(3, ["see ", {"type": "link", "text": "https://a.com"}, " and ", {"type": "bold", "text": "that"}]),
    message(4, "", media_type="sticker", sticker_emoji="😀"),
    message(5, "", photo="(File not included)"),
    message(6, "gone", **{"from": None, "from_id": "user1"}),
]
SAID = [
    ("2025-01-15 00:02", "Kim: A", 'hello "quoted"\n둘째 줄'),
    ("2025-01-15 00:03", "Kim: A", "see https://a.com and that"),
    ("2025-01-15 00:04", "Kim: A", "이모티콘"),
    ("2025-01-15 00:05", "Kim: A", "사진"),
    ("2025-01-15 00:06", "user1", "gone"),
]
ONE_CHAT = {"name": "방", "type": "private_group", "id": 1, "messages": MESSAGES}
ALL_CHATS = {
    "about": "…",
    "personal_information": {"first_name": "Kim"},
    "contacts": {"list": [{"first_name": "Lee", "messages": 3}]},
    "chats": {"about": "…", "list": [ONE_CHAT, {"name": "빈 방", "messages": []}, ONE_CHAT]},
    "left_chats": {"about": "…", "list": [ONE_CHAT]},
}


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize(("export", "chats"), [(ONE_CHAT, 1), (ALL_CHATS, 3)])
def test_telegram(
    tmp_path: Path, export: dict[str, Any], chats: int, indent: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_stream, "_PIECE", 100)  # so that messages are cut
    content = json.dumps(export, ensure_ascii=False, indent=indent)
    name, messages, counts = parse(tmp_path / "result.txt", content, "utf-8-sig")
    assert (name, messages, counts.system) == ("Telegram", SAID * chats, chats)


def test_telegram_with_odd_values(tmp_path: Path) -> None:
    odd = [[{"text": None}, {"text": ["x"]}, {}, None, "말"], None, {"text": "링크"}, 5, ""]
    export = {"messages": [message(number, text, media_type=["x"]) for number, text in enumerate(odd)]}
    _, messages, _ = parse(tmp_path / "result.json", json.dumps(export))
    assert [text for _, _, text in messages] == ["말", "", "링크", "", ""]


def test_telegram_that_breaks_off(tmp_path: Path) -> None:
    content = json.dumps(ONE_CHAT, indent=1)
    end = content.index('"id": 5')
    _, messages, counts = parse(tmp_path / "a.json", content[:end])
    assert messages == SAID[:3]
    assert counts.broken == [content[:end].count("\n")]  # where it began


def test_plain_text_is_a_text_a_line(tmp_path: Path) -> None:
    lines = ["재밌다", " 12:30 영화를 봤다", "그냥 그럼", "[평점] 10점", "나 : 그래"]
    name, messages, _ = parse(tmp_path / "a.txt", "\r\n\r\n".join(lines))
    assert (name, messages) == (PLAIN_TEXT, [("", None, line) for line in lines])


@pytest.mark.parametrize(
    "chat",
    [
        "김철수 — 오늘 오후 1:00\n영희야\n밥 먹었어?\n나는 아직\n박영희 — 오늘 오후 1:05\n응\n철수야\n나도\n",
        "김철수: 영희야 밥 먹었어\n박영희: 철수야, 아직\n",
        "김철수 : 영희야 밥 먹었어\n아직이면 나와\n박영희 : 철수야, 아직\n",
    ],
)
@pytest.mark.parametrize("times", [2, 40])
def test_a_chat_in_an_unknown_layout_is_not_taken_for_plain_text(tmp_path: Path, chat: str, times: int) -> None:
    with pytest.raises(DataError, match="layout that is not known"):
        parse(tmp_path / "a.txt", chat * times)


def test_corpora_poems_and_documents_are_plain_text(tmp_path: Path) -> None:
    poem = "나 보기가 역겨워\n가실 때에는\n말없이 고이 보내 드리우리다\n\n제목: 진달래꽃\n지은이: 김소월\n"
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    reviews = CORPORA / "nsmc-reviews.txt"
    texts = [poem, readme, reviews.read_text(encoding="utf-8")[:1_000_000] if reviews.exists() else "재밌다\n"]
    assert [parse(tmp_path / "a.txt", text)[0] for text in texts] == [PLAIN_TEXT] * 3


def test_a_line_that_is_too_long_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LONGEST_LINE", 1000)
    content = "하나\n" * 5 + "길" * 5000 + "\n둘\n" + "또" * 5000
    for encoding in ("utf-8", "cp949", "utf-16"):
        _, messages, counts = parse(tmp_path / f"{encoding}.txt", content, encoding)
        assert [text for _, _, text in messages] == ["하나"] * 5 + ["둘"]
        assert counts.broken == [6, 8]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.csv", b"Q,A,label\n1,2,3\n", "line 1: no columns Date, User, Message (found: Q,A,label)"),
        ("a.csv", b"", "is empty"),
        ("a.txt", b"\xef\xbb\xbf\r\n \r\n", "is empty"),
        ("a.txt", "가\n나\n".encode() + b"\xff\xfe\n", "line 3: is neither UTF-8"),
        ("a.txt", b"text\n\0\0\1\n", "line 2: is neither"),
        ("image.csv", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\1\0" + bytes(range(256)) * 20, "is neither UTF-8"),
        ("a.html", b"<!DOCTYPE html>\n<p>hi</p>\n", "line 1: is a page"),
        ("a.json", b'{"menu": {"id": 1}}', "line 1: is JSON of no chat that is known"),
        ("a.txt", b"Chats with X\n2015 Jul 9, 20:34 <X> hi\n2015 Jul 9, 20:35 <Y> hi\n", "layout that is not known"),
    ],
)
def test_a_file_of_no_use_is_named_with_its_line(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    with pytest.raises(DataError) as caught:
        parse(tmp_path / name, content)
    assert str(caught.value).startswith(str(tmp_path / name)) and told in str(caught.value)
