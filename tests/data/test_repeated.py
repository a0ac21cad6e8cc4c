"""What was forwarded or copied is learnt once; what people say often stays."""

import json
import random
from pathlib import Path

import numpy as np

from data.prepare import Summary, prepare
from data.texts.repeated import LONG, Stretches, stretches

FORWARDED = (
    "공지: 다음 주 토요일 오전 열 시부터 우리 지하 주차장 물청소가 있으니 "
    "모든 차량은 금요일 밤까지 지상으로 옮겨 주시기 바랍니다"
)
CHAIN_LETTER = [
    "이 편지는 영국에서 최초로 시작되어",
    "일 년에 한 바퀴 돌면서 받는 사람에게",
    "행운을 주었고 지금은 당신에게로",
    "옮겨진 이 편지는 나흘 안에 떠나야 합니다",
]
SAID = ["밥 먹었어?", "ㅋㅋㅋㅋㅋㅋ", "<EMOJI>", "오늘 진짜 춥다", "나도", "이따 봐"]


def left_over(texts: list[str]) -> list[str]:
    """The texts that are left, without what was there before."""
    found = Stretches()
    for text in texts:
        found.add(*stretches(text))
    repeated = found.repeated(np.ones(len(texts), dtype=bool))
    return [repeated.without(n, text) for n, text in enumerate(texts) if not repeated.whole_texts()[n]]


def test_a_forwarded_message_is_left_once_and_the_conversation_around_it_stays() -> None:
    texts = [f"{SAID[n]}\n{FORWARDED}{'!' * n}\n고마워 {n}" for n in range(5)]
    assert left_over(texts) == [texts[0], *(f"{SAID[n]}\n고마워 {n}" for n in range(1, 5))]


def test_a_letter_of_short_lines_is_one_as_well() -> None:
    texts = [f"뭐야 {n}\n" + "\n".join(CHAIN_LETTER) + f"\n헐 {n}" for n in range(3)]
    assert left_over(texts) == [texts[0], "뭐야 1\n헐 1", "뭐야 2\n헐 2"]


def test_within_one_text_too_and_a_text_of_nothing_else_goes() -> None:
    assert left_over([f"{FORWARDED}\n응\n{FORWARDED}", FORWARDED]) == [f"{FORWARDED}\n응"]


def test_what_people_say_often_stays() -> None:
    often = ["\n".join(SAID)] * 20
    photos = ["<PHOTO>\n" * 30 + "예쁘다"] * 3
    laughter = ["\n".join(["ㅋㅋㅋㅋㅋ", "ㅠㅠㅠㅠㅠ", "!!!!!"] * 20)] * 3
    short = [f"{'가나다라마' * 9}", f"{'가나다라마' * 9}"]  # 45 letters
    assert LONG > 45
    for texts in (often, photos, laughter, short):
        assert left_over(texts) == texts


def test_stretches_of_a_text_are_as_many_as_its_lines() -> None:
    for text in ("", "\n\n", FORWARDED, f"{FORWARDED}\n", "\n".join(CHAIN_LETTER), "가\n" * 500):
        hashes, lengths = stretches(text)
        assert len(hashes) == len(lengths) == len(text.split("\n"))
        assert all((key == 0) == (length == 0) and length <= 50 for key, length in zip(hashes, lengths))
        assert all(place + length <= len(lengths) for place, length in enumerate(lengths))


def test_prepare_leaves_it_once_in_all_files_and_says_so(tmp_path: Path) -> None:
    words = random.Random(1)
    rows = ""
    for day in range(1, 21):
        own = (" ".join(str(words.randrange(10**6)) for _ in range(8)) for _ in range(9))
        said = [*own, FORWARDED, "그래 알았어"]
        rows += "".join(f"2026-05-{day:02d} 09:00:{n:02d},김철수,{text}\n" for n, text in enumerate(said))
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/chat.csv").write_text(f"Date,User,Message\n{rows}", encoding="utf-8")
    told: list[str] = []

    def run() -> Summary:
        return prepare(tmp_path / "raw", tmp_path, told.append)

    summary = run()
    assert summary.repeated_lines == 19
    assert any("19 lines that were forwarded or copied left out" in line for line in told)
    files = [(tmp_path / f"for-model-training/{name}.jsonl").read_text(encoding="utf-8") for name in ("train", "valid")]
    texts = [json.loads(line)["text"] for file in files for line in file.splitlines()]
    assert "".join(texts).count(FORWARDED) == 1
    assert sum("그래 알았어" in text for text in texts) == len(texts) == 20
    text_only = (tmp_path / "for-tokenizer-training/textonly.txt").read_text(encoding="utf-8")
    assert text_only.count(FORWARDED) == files[0].count(FORWARDED)
    assert summary.characters == sum(map(len, texts))
    assert run() == summary, "nothing has changed"
