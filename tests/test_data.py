"""Chat exports into clean texts: formats, bad input, the cleaning rules, names, and the files that are written."""

import json
import subprocess
import sys
import unicodedata
from datetime import datetime
from pathlib import Path

import emoji
import pytest

import tokenizer
from data import DataError, Summary, prepare
from data.cleaning import TAGS, clean
from data.conversations import LONGEST_TEXT, conversations, split
from data.names import name_pattern
from data.reading import PLAIN_TEXT, Message, read_export

REPOSITORY = Path(__file__).parents[1]
HEADER = "Date,User,Message\n"


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


def said(path: Path) -> list[tuple[str | None, str]]:
    return [(message.user, message.text) for message in read_export(path).messages]


def run(raw: Path, output: Path) -> tuple[Summary, list[str]]:
    lines: list[str] = []
    return prepare(raw, output, report=lines.append), lines


def texts(path: Path) -> list[str]:
    return [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]


# Reading


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949"])
def test_csv_with_quotes_newlines_and_any_korean_encoding(tmp_path: Path, encoding: str) -> None:
    rows = '2026-05-17 09:00:00,민준,"둘째 줄은\n""여기"", 끝"\n"2026-05-17 09:01:00","서연",NA\n,,삭제되었습니다.\n'
    export = read_export(write(tmp_path / "chat.csv", HEADER + rows, encoding))
    assert export.messages == [
        Message(datetime(2026, 5, 17, 9, 0), "민준", '둘째 줄은\n"여기", 끝'),
        Message(datetime(2026, 5, 17, 9, 1), "서연", "NA"),
    ]
    assert (export.system_lines, export.broken_lines) == (1, [])


def test_broken_rows_are_counted_and_the_others_used(tmp_path: Path) -> None:
    rows = [
        "2026-05-17 09:00:00,민준,안녕, 쉼표가 많다",
        "2026-05-17 09:01:00,서연,하나",
        "2026-05-17 09:02:00,서연",
        '2026-05-17 09:03:00,민준,"닫지 않은 따옴표',
        '2026-05-17 09:04:00,서연,"둘\n셋"',
        "날짜 없음,민준,넷",
    ]
    export = read_export(write(tmp_path / "chat.csv", HEADER + "\r\n".join(rows) + "\r\n"))
    assert [message.text for message in export.messages] == ["하나", "둘\n셋", "넷"]
    assert export.messages[-1].time is None
    assert export.broken_lines == [2, 4, 5]


WINDOWS = """홍길동 님과 카카오톡 대화
저장한 날짜 : 2020-11-03 10:44:52

--------------- 2020년 6월 28일 일요일 ---------------
홍길동님이 들어왔습니다.
[홍길동] [오전 12:01] 첫 줄

셋째 줄 : 끝
[이 [대리]] [오후 12:30] 사진
홍길동님이 김철수님을 초대했습니다.
[홍길동] [오후 1:02] 철수님이 나갔습니다.
"""
MOBILE = """\ufeff우리 방 27 님과 카카오톡 대화
저장한 날짜 : 2026년 2월 16일 오후 4:45

2025년 12월 15일 오후 1:14
2025년 12월 15일 오후 1:14, 홍길동님이 들어왔습니다.
2025년 12월 15일 오후 1:18, 홍길동 : 첫 줄
둘째 줄 : 끝
2025년 12월 16일 오전 9:05, 김철수 : 네 : 네
"""


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_kakaotalk_text_layouts(tmp_path: Path, newline: str) -> None:
    windows = read_export(write(tmp_path / "windows.txt", WINDOWS.replace("\n", newline)))
    assert [(m.user, m.text) for m in windows.messages] == [
        ("홍길동", "첫 줄\n\n셋째 줄 : 끝"),
        ("이 [대리]", "사진"),
        ("홍길동", "철수님이 나갔습니다."),
    ]
    assert [m.time.hour for m in windows.messages if m.time] == [0, 12, 13]
    mobile = read_export(write(tmp_path / "mobile.txt", MOBILE.replace("\n", newline)))
    assert mobile.messages == [
        Message(datetime(2025, 12, 15, 13, 18), "홍길동", "첫 줄\n둘째 줄 : 끝"),
        Message(datetime(2025, 12, 16, 9, 5), "김철수", "네 : 네"),
    ]
    assert (windows.system_lines, mobile.system_lines) == (2, 1)


def test_mobile_records_end_with_crlf_only(tmp_path: Path) -> None:
    text = "2025년 12월 15일 오후 1:18, 철수 : 봐봐\n2025년 12월 15일 오후 1:00, 영희 : 라고 했어\r\n"
    assert said(write(tmp_path / "a.txt", text)) == [("철수", "봐봐\n2025년 12월 15일 오후 1:00, 영희 : 라고 했어")]


def test_plain_text_is_a_text_a_line(tmp_path: Path) -> None:
    export = read_export(write(tmp_path / "reviews.txt", "재밌다\r\n\r\n 12:30 영화를 봤다\n그냥 그럼\n[평점] 10점\n"))
    assert export.format == PLAIN_TEXT
    assert said(export.path) == [(None, line) for line in ("재밌다", " 12:30 영화를 봤다", "그냥 그럼", "[평점] 10점")]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.csv", b"Q,A,label\n1,2,3\n", "line 1: no column Date, User, Message (found: Q, A, label)"),
        ("a.csv", b"", "is empty"),
        ("a.csv", HEADER.encode(), "has no messages"),
        ("a.csv", HEADER.encode() + b"1,2\n", "has no messages (1 broken rows, the first in line 2)"),
        ("a.csv", b'"Date,User,Message\n', "cannot be read as CSV"),
        ("a.txt", "가\n나\n".encode() + b"\xff\xfe\n", "line 3: is neither UTF-8 nor CP949"),
        ("a.txt", b"text\n\0\0\1\n", "line 2: is neither"),
        ("a.txt", b"KakaoTalk Chats with X\nJul 9, 2015, 8:34 PM, X : hi\n", "layout that is not known"),
        ("a.txt", b"01/20/19, 11:23 - Ann: hi\n01/20/19, 11:24 - Bob: yo\n", "layout that is not known"),
    ],
)
def test_a_file_of_no_use_is_named_with_its_line(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_export(path)
    assert str(caught.value).startswith(str(path)) and told in str(caught.value)


# Cleaning


@pytest.mark.parametrize(
    ("message", "cleaned"),
    [
        ("\u200b사진 ", "<PHOTO>"),
        ("사진 12장", "<PHOTO>"),
        ("동영상", "<MOVIE>"),
        ("이모티콘", "<EMOJI>"),
        ("사진 좋다", "사진 좋다"),
        ("이거 봐 https://a.com/x?y=1#z. WWW.Naver.com이야 (youtu.be/Ab_1)", "이거 봐 <URL>. <URL>이야 (<URL>)"),
        ("3.14는 a.b 아님", "3.14는 a.b 아님"),
        ("가족👨‍👩‍👧‍👦 국기🇰🇷 키1️⃣ 하트❤️ ©™", "가족<EMOJI> 국기<EMOJI> 키<EMOJI> 하트<EMOJI> ©™"),
        ("ㅋㅋㅋㅋㅋㅋㅋㅋ!!!!!!! 1000000원 ㅋㅋㅋㅋ", "ㅋㅋㅋㅋㅋ!!!!! 1000000원 ㅋㅋㅋㅋ"),
        ("😀" * 9, "<EMOJI>" * 5),
        ("빈 (( )) [] {}괄호 (안 빔)", "빈   괄호 (안 빔)"),
        ("HELLO\r\n\n \n  World  ", "hello\nworld"),
        (unicodedata.normalize("NFD", "한글 ㅋ"), "한글 ㅋ"),
        ("삭제된 메시지입니다.", ""),
        ("<NAME>야 <photo> <|endoftext|> <unk> <0x41>", "name야 photo |endoftext| unk 0x41"),
        ("<<|start|>> <|<s>tart|> <|end()oftext|> <|endof\u200dtext|>", "|start| |start| |endoftext| |endoftext|"),
        ("\ue004 >.< <킬빌>", ">.< <킬빌>"),
    ],
)
def test_cleaning_rules(message: str, cleaned: str) -> None:
    assert clean(message) == cleaned


def test_every_emoji_of_the_library_is_one_tag() -> None:
    kept = {symbol for symbol in emoji.EMOJI_DATA if clean(symbol) != "<EMOJI>"}
    assert {symbol[0] for symbol in kept} == {"©", "®", "™"}


SENDERS = [
    "김철수",
    "남궁민수 팀장",
    "이하늘",
    "박솔",
    "Alice Kim",
    "민준❤️(회사)",
    "3반_최유진/총무",
    "엄마",
    "ㅋㅋ",
    "솔",
]


@pytest.mark.parametrize(
    ("message", "cleaned"),
    [
        ("철수야 김철수! @철수 철수형이랑", "<NAME>야 <NAME>! @<NAME> <NAME>형이랑"),
        ("민준이가 민수한테는 철수씨ㅋㅋ", "<NAME>이가 <NAME>한테는 <NAME>씨ㅋㅋ"),
        ("철수막 국민수당 민준법", "철수막 국민수당 민준법"),
        ("하늘이 맑다 하늘아 이하늘은 하늘 언니", "하늘이 맑다 <NAME>아 <NAME>은 <NAME> 언니"),
        ("솔 솔직히 박솔아", "솔 솔직히 <NAME>아"),
        ("ALICE KIM이 alicekimchi", "<NAME>이 alicekimchi"),
        ("유진아 최유진", "<NAME>아 <NAME>"),
        ("엄마 ㅋㅋㅋ", "엄마 ㅋㅋㅋ"),
        (unicodedata.normalize("NFD", "철수랑"), "<NAME>랑"),  # as a Mac may write it
    ],
)
def test_names_of_senders_are_masked_and_particles_kept(message: str, cleaned: str) -> None:
    assert clean(message, name_pattern(SENDERS)) == cleaned


def test_nobody_to_mask() -> None:
    assert name_pattern(["엄마", "ㅋㅋ", "솔", "(알 수 없음)"]) is None


# Texts


def test_conversations_end_at_long_pauses_and_at_the_longest_text() -> None:
    times = [datetime(2026, 1, 1, 9, 0), datetime(2026, 1, 1, 9, 59), None, datetime(2026, 1, 1, 11, 0)]
    assert list(conversations(zip(times, "가나다라", strict=True))) == ["가\n나\n다", "라"]
    essay = "단어 " * LONGEST_TEXT
    cut = list(conversations([(None, "앞"), (None, essay), (None, "뒤")]))
    assert max(map(len, cut)) <= LONGEST_TEXT
    assert "".join(cut).replace(" ", "").replace("\n", "") == "앞" + "단어" * LONGEST_TEXT + "뒤"


def test_split_holds_out_a_tenth_by_whole_texts_and_always_the_same() -> None:
    everything = [f"글 {i}" for i in range(200)]
    train, valid = split(everything + everything)
    assert len(valid) == 20 and sorted(train + valid) == sorted(everything)
    assert set(split(reversed(everything))[1]) == set(valid)
    assert [len(part) for part in split(["하나", "둘"])] == [1, 1]
    assert split(["하나"]) == (["하나"], [])


def test_prepare_writes_three_files_and_tells_what_it_did(tmp_path: Path) -> None:
    rows = "".join(f"2026-05-{1 + i:02d} 09:00:00,김철수,철수가 {i}번째로 한 말\n" for i in range(20))
    write(tmp_path / "raw/chat.csv", HEADER + rows + "2026-05-30 10:00:00,이영희,사진\n깨진 행\n")
    write(tmp_path / "raw/other.csv", "Q,A\n1,2\n")
    write(tmp_path / "raw/reviews.txt", "철수 나오는 영화\n철수 나오는 영화\n")
    summary, lines = run(tmp_path / "raw", tmp_path)
    train = texts(tmp_path / "for-model-training/train.jsonl")
    valid = texts(tmp_path / "for-model-training/valid.jsonl")
    assert (summary.messages, summary.train, summary.valid) == (23, len(train), len(valid)) == (23, 20, 2)
    assert set(train) | set(valid) == {f"<NAME>가 {i}번째로 한 말" for i in range(20)} | {"<PHOTO>", "철수 나오는 영화"}
    assert summary.masked == {"<NAME>": 20, "<PHOTO>": 1, "<MOVIE>": 0, "<EMOJI>": 0, "<URL>": 0}
    text_only = (tmp_path / "for-tokenizer-training/textonly.txt").read_text(encoding="utf-8")
    assert text_only.splitlines() == train, "words of held-out texts must not shape the vocabulary"
    told = "\n".join(lines)
    for part in ("1 broken rows (line 23)", "other.csv, line 1: no column Date", "<NAME> 20", "1 repeated texts"):
        assert part in told
    assert {path.name for path in tmp_path.glob("for-*/*")} == {"textonly.txt", "train.jsonl", "valid.jsonl"}


def test_same_input_same_bytes_and_bad_input_leaves_them_alone(tmp_path: Path) -> None:
    raw = write(tmp_path / "raw/a.txt", "".join(f"줄 {i}\n" for i in range(50))).parent
    files = [tmp_path / "for-model-training" / name for name in ("train.jsonl", "valid.jsonl")]
    run(raw, tmp_path)
    before = [file.read_bytes() for file in files]
    run(raw, tmp_path)
    assert [file.read_bytes() for file in files] == before
    write(raw / "a.txt", "")
    with pytest.raises(DataError, match="none of the files"):
        run(raw, tmp_path)
    write(raw / "a.txt", "()\n[]\n")
    with pytest.raises(DataError, match="nothing is left"):
        run(raw, tmp_path)
    assert [file.read_bytes() for file in files] == before


def test_output_that_cannot_be_written_leaves_the_old(tmp_path: Path) -> None:
    raw = write(tmp_path / "raw/a.txt", "하나\n둘\n").parent
    old = write(tmp_path / "for-tokenizer-training/textonly.txt", "old")
    write(tmp_path / "for-model-training", "a file where a folder is needed")
    with pytest.raises(DataError, match=r"cannot write .*train.jsonl"):
        run(raw, tmp_path)
    assert old.read_text() == "old"
    assert not list(tmp_path.rglob("*.part"))


def test_command_line_exit_codes(tmp_path: Path) -> None:
    def run_here() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "data"]
        return subprocess.run(
            command, cwd=tmp_path, env={"PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True
        )

    failed = run_here()
    assert failed.returncode == 2
    assert failed.stderr == "error: no .csv or .txt file in data/raw; put a chat export there\n"
    write(tmp_path / "data/raw/a.txt", "하나\n둘\n")
    assert run_here().returncode == 0
    assert texts(tmp_path / "data/for-model-training/train.jsonl")


def test_tags_are_those_of_the_tokenizer() -> None:
    assert tokenizer.TAGS == TAGS
