"""Chat exports into clean texts: the cleaning rules, names, conversations, and the files that are written."""

import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import emoji
import numpy as np
import pytest

import tokenizer
from data.errors import DataError
from data.masking.cleaning import Cleaner, Plan, clean
from data.masking.names import name_pattern
from data.masking.tags import TAGS
from data.prepare import Summary, prepare
from data.texts.conversations import LONGEST_TEXT, conversations, texts
from data.texts.duplicates import BANDS, ENOUGH, held_out, keep, likeness
from data.texts.hashes import hash64
from peer.training.learnt import FEWEST_TOKENS

REPOSITORY = Path(__file__).parents[2]
HEADER = "Date,User,Message\n"


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


def run(raw: Path, output: Path) -> tuple[Summary, list[str]]:
    lines: list[str] = []
    return prepare(raw, output, report=lines.append), lines


def texts_in(path: Path) -> list[str]:
    return [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]


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
        ("겹친 ( [ ] {( )} ) 것 ([)] （ 「」 ）", "겹친  것 ([)]"),
        ("HELLO\r\n\n \n  World  ", "hello\nworld"),
        (unicodedata.normalize("NFD", "한글 ㅋ"), "한글 ㅋ"),
        ("삭제된 메시지입니다.", ""),
        ("<NAME>야 <photo> <|endoftext|> <unk> <0x41>", "name야 photo |endoftext| unk 0x41"),
        ("<<|start|>> <|<s>tart|> <|end()oftext|> <|endof\u200dtext|>", "|start| |start| |endoftext| |endoftext|"),
        ("\ue004 >.< <킬빌>", ">.< <킬빌>"),
        ("<P1>: <P99> <Phone>", "p1: p99 phone"),
    ],
)
def test_cleaning_rules(message: str, cleaned: str) -> None:
    assert clean(message) == cleaned


@pytest.mark.parametrize(
    "message", ["'[(' * 100_000 + ')]' * 100_000", "'a' + ' ' * 200_000 + '<b'", "'<(())' * 100_000"]
)
def test_no_message_takes_forever(message: str) -> None:
    command = [sys.executable, "-c", f"from data.masking.cleaning import clean; clean({message})"]
    subprocess.run(command, cwd=REPOSITORY, timeout=20, check=True)  # hours where time grows with the square


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
    "정나라",
]


@pytest.mark.parametrize(
    ("message", "cleaned"),
    [
        ("철수야 김철수! @철수 철수형이랑", "<NAME>야 <NAME>! <NAME> <NAME>형이랑"),
        ("민준이가 민수한테는 철수씨ㅋㅋ", "<NAME>이가 <NAME>한테는 <NAME>씨ㅋㅋ"),
        ("철수막 국민수당 민준법", "철수막 국민수당 민준법"),
        ("하늘이 맑다 하늘아 이하늘은 하늘 언니", "하늘이 맑다 <NAME>아 <NAME>은 <NAME> 언니"),
        ("하늘이가 하늘이한테 하늘한테 하늘이야", "<NAME>이가 <NAME>이한테 <NAME>한테 하늘이야"),
        (
            "하늘에게 하늘이에게 하늘한텐 하늘이에겐 하늘에게서 하늘이 우리나라에게",
            "<NAME>에게 <NAME>이에게 <NAME>한텐 <NAME>이에겐 <NAME>에게서 하늘이 우리나라에게",
        ),
        ("솔 솔직히 박솔아", "솔 솔직히 <NAME>아"),
        ("ALICE KIM이 alicekimchi", "<NAME>이 alicekimchi"),
        ("유진아 최유진", "<NAME>아 <NAME>"),
        ("엄마 ㅋㅋㅋ", "엄마 ㅋㅋㅋ"),
        (unicodedata.normalize("NFD", "철수랑"), "<NAME>랑"),  # as a Mac may write it
    ],
)
def test_names_of_senders_are_masked_and_particles_kept(message: str, cleaned: str) -> None:
    assert clean(message, name_pattern(SENDERS)) == cleaned


@pytest.mark.parametrize(
    ("name", "endings"),
    [
        (
            "철수",
            "한텐 에겐 니까 니깐 였다 였대 였네 였구나 더라 더러 보단 까진 께선 랬어 두 라면 라니까 라던 인줄 인거",
        ),
        ("유진", "한텐 이한텐 이에겐 이니까 이었다 이었대 이었네 이었구나 이다 이라면 이라던 이더라 이보단 인줄 인거"),
    ],
)
def test_every_ending_after_a_name_is_kept(name: str, endings: str) -> None:
    said = " ".join(name + ending for ending in endings.split())
    assert clean(said, name_pattern(SENDERS)) == said.replace(name, "<NAME>")


def test_nobody_to_mask() -> None:
    text = "엄마 ㅋㅋ 솔솔 알 수 없음"
    assert clean(text, name_pattern(["엄마", "ㅋㅋ", "솔", "(알 수 없음)"])) == text


# Texts


def test_conversations_end_at_long_pauses() -> None:
    hour = 3600
    times = [9 * hour, 10 * hour - 60, None, 11 * hour, 10 * hour + 1, 9 * hour]  # the clock may run back
    said = [(time, "a", text) for time, text in zip(times, "가나다라마바", strict=True)]
    assert list(conversations(said)) == [
        [("a", "가"), ("a", "나"), ("a", "다")],
        [("a", "라"), ("a", "마")],
        [("a", "바")],
    ]


def test_a_document_is_a_conversation_of_its_own() -> None:
    assert list(conversations([(None, None, "하나"), (None, None, "둘")])) == [[(None, "하나")], [(None, "둘")]]


def test_no_text_is_longer_than_the_longest() -> None:
    essay = "단어 " * LONGEST_TEXT
    cut = list(texts([("a", "앞"), ("b", essay), ("a", "뒤")], Cleaner(Plan())))
    assert max(map(len, cut)) <= LONGEST_TEXT
    assert "".join(cut).replace(" ", "").replace("\n", "") == "앞" + "단어" * LONGEST_TEXT + "뒤"


def test_a_tenth_of_the_conversations_is_held_out_and_always_the_same() -> None:
    def choose(hashes: list[int]) -> set[int]:
        conversation = np.repeat(np.arange(len(hashes)), 3)  # three texts each
        exact = np.array([hash + text for hash in hashes for text in range(3)], dtype=np.uint64)
        texts, beyond = held_out(conversation, exact, np.full(len(exact), 100))
        chosen = texts.reshape(-1, 3)
        assert beyond == 0
        assert (chosen.all(axis=1) == chosen.any(axis=1)).all(), "a conversation was torn"
        return {hashes[index] for index in np.flatnonzero(chosen[:, 0])}

    hashes = [hash64(f"대화 {number}") & ~3 for number in range(200)]
    assert len(choose(hashes)) == 20
    assert choose(hashes[::-1]) == choose(hashes)
    assert [len(choose(hashes[:count])) for count in (1, 2)] == [0, 1]


@pytest.mark.parametrize(
    ("sizes", "characters", "beyond"),
    [
        ([[500]] * 40, 2500, 1),  # conversations of a text each: a tenth is 2,000
        ([[500] * 4] * 9, 4000, 4),
        ([[2000] * 20], 4000, 2),  # one conversation alone
        ([[2000] * 12, [2000] * 12], 24000, 0),
        ([[100] * 60], 1500, 15),  # a fourth, for there is no more
        ([[2000, 2000]], 0, 0),  # one of them would be half of all
        ([[90] * 20], 0, 0),
    ],
)
def test_where_a_tenth_is_too_little_to_judge_by_more_is_held_out(
    sizes: list[list[int]], characters: int, beyond: int
) -> None:
    lengths = np.array([size for conversation in sizes for size in conversation])
    conversation = np.repeat(np.arange(len(sizes)), [len(conversation) for conversation in sizes])
    exact = np.array([hash64(f"글 {number}") for number in range(len(lengths))], dtype=np.uint64)
    valid, more = held_out(conversation, exact, lengths)
    assert (lengths[valid].sum(), more) == (characters, beyond)
    back, _ = held_out(conversation[::-1], exact[::-1], lengths[::-1])
    assert set(exact[::-1][back]) == set(exact[valid]) or len(sizes) > 1, "the same texts, in whatever order they come"


def test_enough_held_out_is_enough_for_the_devices_that_judge() -> None:
    assert ENOUGH >= 4.5 * FEWEST_TOKENS, "characters a token, which few languages and vocabularies reach"


def test_repeated_and_nearly_repeated_texts_are_kept_once() -> None:
    notice = (
        "안녕하세요 관리사무소입니다. 내일 오전 10시부터 오후 3시까지 물탱크 청소로 단수가 있을 예정이오니 "
        "양해 바랍니다. 단수 시간에는 세탁기와 보일러를 쓰지 마시고, 필요한 물은 미리 받아 두세요. "
        "문의는 관리사무소로 주시면 안내해 드립니다."
    )
    everything = [
        notice,
        "밥 먹었어?",
        notice.replace("내일", "모레"),
        notice,
        "밥 먹었어??ㅋㅋ",
        "밥먹었어",
        "ㅋㅋ",
        "ㅋㅋㅋㅋ",
    ]
    everything += [
        "5시에 봐",
        "6시에 봐",
        "전혀 다른 이야기를 하는 글로, 관리사무소와는 아무 상관도 없고 물탱크도 나오지 않는 긴 글입니다.",
    ]
    exact = np.array([hash64(text) for text in everything], dtype=np.uint64)
    bands = np.array([likeness(text) for text in everything], dtype=np.uint64)
    assert bands.shape == (len(everything), BANDS)
    kept, same, nearly = keep(exact, bands)
    assert np.flatnonzero(kept).tolist() == [0, 1, 4, 6, 8, 9, 10]
    assert (same, nearly) == (1, 3)


def test_prepare_writes_three_files_and_tells_what_it_did(tmp_path: Path) -> None:
    rows = "".join(f"2026-05-{1 + i:02d} 09:00:00,김철수,철수가 {i}번째로 한 말\n" for i in range(20))
    write(tmp_path / "raw/chat.csv", HEADER + rows + "2026-05-30 10:00:00,이영희,사진\n깨진 행\n")
    write(tmp_path / "raw/other.csv", "Q,A\n1,2\n")
    write(tmp_path / "raw/reviews.txt", "철수 나오는 영화\n철수 나오는 영화\n")
    summary, lines = run(tmp_path / "raw", tmp_path)
    train = texts_in(tmp_path / "for-model-training/train.jsonl")
    valid = texts_in(tmp_path / "for-model-training/valid.jsonl")
    assert (summary.messages, summary.train, summary.valid) == (23, len(train), len(valid)) == (23, 20, 2)
    assert set(train) | set(valid) == {f"<NAME>가 {i}번째로 한 말" for i in range(20)} | {"<PHOTO>", "철수 나오는 영화"}
    assert +summary.masked == {"<NAME>": 20, "<PHOTO>": 1}
    text_only = (tmp_path / "for-tokenizer-training/textonly.txt").read_text(encoding="utf-8")
    assert text_only.split() == " ".join(train).split(), "words of held-out texts must not shape the vocabulary"
    assert text_only.splitlines()[1::2] == [""] * 19, "each is a conversation of its own"
    told = "\n".join(lines)
    for part in ("1 broken (line 23)", "other.csv, line 1: no columns Date", "<NAME> 20", "1 repeated and 0 nearly"):
        assert part in told
    assert {path.name for path in tmp_path.glob("for-*/*")} == {"textonly.txt", "train.jsonl", "valid.jsonl"}


def test_the_tokenizer_is_told_where_a_conversation_ends(tmp_path: Path) -> None:
    said = ("가나다라", "마바사아", "자차카타")
    rows = "".join(
        f"2026-05-{day:02d} 09:00:{second:02d},김철수,{said[second % 3]} {day}\n"
        for day in range(1, 21)
        for second in range(10)
    )
    write(tmp_path / "raw/chat.csv", HEADER + rows)
    run(tmp_path / "raw", tmp_path)
    text_only = (tmp_path / "for-tokenizer-training/textonly.txt").read_text(encoding="utf-8")
    blocks = text_only.rstrip("\n").split("\n\n")
    assert blocks == texts_in(tmp_path / "for-model-training/train.jsonl")
    assert all(block.count("\n") == 9 for block in blocks)


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
    with pytest.raises(DataError, match=r"cannot write .*for-model-training: File exists"):
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
    assert failed.stderr == "error: no chat export in data/raw; put one there\n"
    write(tmp_path / "data/raw/a.txt", "하나\n둘\n")
    assert run_here().returncode == 0
    assert texts_in(tmp_path / "data/for-model-training/train.jsonl")


def test_whoever_stops_reading_stops_nothing(tmp_path: Path) -> None:
    raw = write(tmp_path / "raw/a.txt", "하나\n둘\n")
    for options in (["--raw", str(raw), "--output", str(tmp_path)], ["--explain", str(raw)]):
        reader, writer = os.pipe()
        os.close(reader)
        command = [sys.executable, "-m", "data", *options]
        told = subprocess.run(command, cwd=REPOSITORY, stdout=writer, stderr=subprocess.PIPE, text=True)
        os.close(writer)
        assert (told.returncode, told.stderr) == (0, "")
    assert texts_in(tmp_path / "for-model-training/train.jsonl")


def test_tags_are_those_of_the_tokenizer() -> None:
    assert tokenizer.TAGS == TAGS
