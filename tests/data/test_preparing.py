"""The preparing of texts: options, speakers, lists and reviews, from `prepare` and from the command line."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.errors import DataError
from data.masking.cleaning import Cleaner, Plan
from data.masking.tags import SPEAKERS
from data.options import DataSettings
from data.prepare import Summary, prepare, prepared_texts, prepared_with
from data.texts.conversations import LONGEST_TEXT, texts
from data.texts.people import people_masked
from data.texts.review import PER_TAG, Doubtful, Samples, ask
from minigpt.settings import Settings
from peer.joining.prepare_text import prepare_text

REPOSITORY = Path(__file__).parents[2]
ROWS = [
    "김철수,영희야 Hello 010-1234-5678로 전화해",
    "이영희,철수오빠 메일은 ABC@naver.com",
    "김철수,사진",
    "박지훈,하늘이 맑다",
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a chat in data/raw."""
    (tmp_path / "data/raw").mkdir(parents=True)
    rows = [f"2026-05-{day + 1:02d} 09:0{minute}:00,{row}" for day in range(9) for minute, row in enumerate(ROWS)]
    (tmp_path / "data/raw/chat.csv").write_text("Date,User,Message\n" + "\n".join(rows) + "\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(**more: Any) -> Summary:
    return prepare(report=lambda line: None, **more)


def written() -> set[str]:
    lines = [
        *Path("data/for-model-training/train.jsonl").read_text(encoding="utf-8").splitlines(),
        *Path("data/for-model-training/valid.jsonl").read_text(encoding="utf-8").splitlines(),
    ]
    return {line for text in lines for line in json.loads(text)["text"].split("\n")}


def test_options_change_the_texts_and_are_remembered(folder: Path) -> None:
    assert prepared_with() is None
    run()
    assert written() == {
        "<NAME>야 hello <PHONE>로 전화해",
        "<NAME>오빠 메일은 <EMAIL>",
        "<PHOTO>",
        "하늘이 맑다",
    }
    assert prepared_with() == DataSettings()
    other = DataSettings(lower_case=False, speakers=True)
    run(options=other)
    assert written() == {
        "<P1>: <NAME>야 Hello <PHONE>로 전화해",
        "<P2>: <NAME>오빠 메일은 <EMAIL>",
        "<P1>: <PHOTO>",
        "<P3>: 하늘이 맑다",
    }
    assert prepared_with() == other
    Path("data/for-model-training/train.jsonl").write_text("{}\n")
    assert prepared_with() is None, "somebody else wrote this"


def test_lists_of_the_user_are_heeded_and_a_change_is_seen(folder: Path) -> None:
    run()
    Path("data/aliases.txt").write_text("맑다\n하늘\n", encoding="utf-8")
    Path("data/not-names.txt").write_text("영희\n", encoding="utf-8")
    run()
    assert {"<NAME>이 <NAME>", "영희야 hello <PHONE>로 전화해"} < written()
    Path("data/aliases.txt").write_text("하늘, 바다\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"^data/aliases.txt, line 1: '하늘, 바다' is no name"):
        run()


def test_speakers_are_counted_anew_in_every_text_up_to_the_last_tag() -> None:
    cleaner = Cleaner(Plan(options=DataSettings(speakers=True)))
    crowd = [(f"사람{number}", "안녕") for number in range(SPEAKERS + 2)]
    (text,) = texts([*crowd, ("사람0", "<P9>: 첫 줄\n둘째 줄")], cleaner)
    lines = text.split("\n")
    assert lines[0] == "<P1>: 안녕" and lines[SPEAKERS - 1 : SPEAKERS + 2] == [f"<P{SPEAKERS}>: 안녕"] * 3
    assert lines[-2:] == ["<P1>: p9: 첫 줄", "둘째 줄"]
    long = [("하나", "가 " * 800), ("둘", "나 " * 800), ("하나", "다 " * 3000), (None, "문서")]
    cut = list(texts(long, cleaner))
    assert max(map(len, cut)) <= LONGEST_TEXT
    assert all(part.startswith("<P1>: ") for part in cut) and cut[-1].endswith("\n문서")


def test_review_shows_what_was_masked_and_to_its_owner_only(folder: Path) -> None:
    run()
    told: list[str] = []
    prepare(report=told.append, review=Path("out/review.txt"))
    review = Path("out/review.txt").read_text(encoding="utf-8")
    assert "before  영희야 Hello 010-1234-5678로 전화해\n  after   <NAME>야 hello <PHONE>로 전화해\n" in review
    assert "<PHONE>  1 different messages" in review and "<CARD>" not in review
    assert stat.S_IMODE(os.stat("out/review.txt").st_mode) == 0o600
    assert "masked: <PHOTO> 1, <NAME> 2, <EMAIL> 1, <PHONE> 1 (--review FILE shows samples)" in told
    prepare(report=told.append, review=Path("out/review.txt"))  # a review may be replaced
    assert Path("out/review.txt").read_text(encoding="utf-8") == review


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("data/for-model-training/review.txt", "would lie in data/for-model-training"),
        ("data/raw/../for-tokenizer-training/r.txt", "would lie in data/for-tokenizer-training"),
        ("data/raw/review.txt", "would lie in data/raw"),
        ("link/review.txt", "would lie in data/raw"),
        ("data", "is a folder"),
        ("mine.txt", "is there and is no review"),
    ],
)
def test_review_does_not_come_near_the_training_data_or_replace_a_file(folder: Path, place: str, told: str) -> None:
    (folder / "mine.txt").write_text("mine")
    (folder / "link").symlink_to(folder / "data/raw")
    with pytest.raises(DataError, match=told):
        run(review=Path(place))
    assert (folder / "mine.txt").read_text() == "mine"
    assert not Path("data/for-model-training").exists()


def test_a_few_samples_and_the_counts_are_kept_for_the_owners_page(folder: Path) -> None:
    assert prepared_texts() == ({}, {})
    run()
    files, masked = prepared_texts()
    assert files == {"data/raw/chat.csv": 36} and masked["<PHONE>"] and "<CARD>" not in masked
    kept = Path("data/.cache/masked.json")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    samples = json.loads(kept.read_text(encoding="utf-8"))
    assert {"tag": "<PHOTO>", "before": "사진", "after": "<PHOTO>"} in samples
    Path("data/for-model-training/train.jsonl").write_text('{"text": "mine"}\n')
    assert prepared_texts() == ({}, {}), "these are others"
    Path("data/raw/chat.csv").unlink()
    with pytest.raises(DataError):
        run()
    assert not kept.exists(), "they go when the export goes"


def test_samples_are_few_and_do_not_depend_on_their_order() -> None:
    pairs = [(f"전화 {number}", "전화 <PHONE>") for number in range(100)]
    some, others, merged = Samples(), Samples(), Samples()
    for before, after in pairs:
        some.add(before, after)
    for place, (before, after) in enumerate(reversed(pairs)):
        (others if place % 2 else merged).add(before, after)
    merged.take(others.given())
    assert merged._of_tag == some._of_tag and len(some._of_tag["<PHONE>"]) == PER_TAG


def test_command_line_takes_its_defaults_from_the_settings(folder: Path) -> None:
    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "data", *arguments]
        return subprocess.run(line, env={"PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True)

    Path("config.json").write_text('{"data": {"lower_case": false}, "model": {"what": "ever"}} // mine')
    assert command("--speakers", "--review", "review.txt").returncode == 0
    assert "<P1>: <NAME>야 Hello <PHONE>로 전화해" in written() and Path("review.txt").exists()
    assert command("--no-keep-case").returncode == 0
    assert "<NAME>야 hello <PHONE>로 전화해" in written()
    Path("config.json").write_text('{"data": {"lower_case": "no"}}')
    failed = command()
    assert failed.returncode == 2
    assert failed.stderr.startswith("error: config.json: data.lower_case") and failed.stderr.count("\n") == 1


@pytest.fixture
def long_talk(folder: Path) -> None:
    """A chat in which nobody was silent for an hour: one conversation."""
    said = "{}분 {}초에 한 말은 이것이고 저것은 아니다"
    times = [(minute, second) for minute in range(60) for second in range(0, 60, 7)]
    rows = [f"2026-05-01 09:{time[0]:02d}:{time[1]:02d},김철수,{said.format(*time)}" for time in times]
    Path("data/raw/chat.csv").write_text("Date,User,Message\n" + "\n".join(rows) + "\n", encoding="utf-8")


def lines_of(name: str) -> list[str]:
    return Path(f"data/for-model-training/{name}.jsonl").read_text(encoding="utf-8").splitlines()


def test_of_one_long_conversation_something_is_held_out_and_that_is_said(long_talk: None) -> None:
    said: list[str] = []
    summary = prepare(report=said.append)
    train, valid = lines_of("train"), lines_of("valid")
    assert summary.valid == summary.beyond_a_tenth == len(valid) > 0 and summary.train == len(train) > len(valid)
    assert not set(train) & set(valid)
    assert said[-1].endswith(f"texts, {len(valid)} of them beyond a tenth, so that there is enough to judge by")
    assert run() == summary, "and nothing has changed"


def test_texts_of_an_earlier_version_with_too_little_held_out_are_cut_anew(
    long_talk: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        before.setattr("data.prepare.held_out", lambda conversation, exact, lengths: (np.zeros(len(exact), bool), 0))
        run()
    state = Path("data/.cache/state.json")
    told = json.loads(state.read_text(encoding="utf-8"))
    assert told["summary"].pop("beyond_a_tenth") == 0 and lines_of("valid") == []
    state.write_text(json.dumps(told), encoding="utf-8")
    said: list[str] = []
    chat = Path("data/raw/chat.csv").rename("chat.csv")
    prepare_text(Settings(), said.append)
    assert said[0] == "too little text is held out here to judge by: cutting the texts anew"
    assert said[-1].startswith("the text stays as it was: no chat export in data/raw")
    chat.rename("data/raw/chat.csv")
    prepare_text(Settings(), said.append)
    assert lines_of("valid") and not set(lines_of("train")) & set(lines_of("valid"))
    said.clear()
    prepare_text(Settings(), said.append)
    assert said == []


def test_a_joiner_prepares_its_text_as_the_run_does(folder: Path) -> None:
    told: list[str] = []
    settings = Settings.model_validate({"data": {"speakers": True}})
    prepare_text(Settings(), told.append)
    assert "하늘이 맑다" in written()
    prepare_text(settings, told.append)
    assert "<P3>: 하늘이 맑다" in written() and any("prepared in another way" in line for line in told)
    told.clear()
    prepare_text(settings, told.append)
    assert all(line.startswith("nothing in data/raw has changed") for line in told), "so little text is looked for anew"
    own = Path("data/for-model-training/train.jsonl")
    own.write_text('{"text": "mine"}\n')
    prepare_text(Settings(), told.append)
    assert own.read_text() == '{"text": "mine"}\n', "what the user wrote is not touched"


def test_doubtful_names_are_reviewed_and_answers_are_heeded(folder: Path) -> None:
    rows = [
        "김하늘,하늘이가 왔어",
        "김하늘,하늘 보러 가자",
        "Grace,grace said hi, by the grace of god",
        "서나율,하늘 높다",
    ]
    lines = [f"2026-05-{day + 1:02d} 09:0{minute}:00,{row}" for day in range(9) for minute, row in enumerate(rows)]
    Path("data/raw/chat.csv").write_text(
        "Date,User,Message\n" + "\n".join(lines).replace(", by", " by"), encoding="utf-8"
    )
    doubtful: list[Doubtful] = []
    run(review=folder / "review.txt", judge=doubtful.extend)
    assert [(one.word, one.masked, one.left) for one in doubtful] == [("하늘", 9, 18), ("grace", 9, 9)]
    assert "하늘: masked 9 times, left 18 times" in (folder / "review.txt").read_text(encoding="utf-8")
    Path("data/aliases.txt").write_text("곰돌이", encoding="utf-8")  # without an end of line
    asked: list[str] = []
    replies = iter(["N", "y"])

    def answer(question: str) -> str:
        asked.append(question)
        return next(replies)

    assert ask(doubtful, Path("data"), answer) == 2
    assert "left 18 times" in asked[0] and len(asked) == 2
    assert Path("data/aliases.txt").read_text(encoding="utf-8") == "곰돌이\ngrace\n"
    assert Path("data/not-names.txt").read_text(encoding="utf-8") == "하늘\n"
    assert stat.S_IMODE(Path("data/not-names.txt").stat().st_mode) == 0o600
    run()
    assert written() == {"하늘이가 왔어", "하늘 보러 가자", "<NAME> said hi by the <NAME> of god", "하늘 높다"}


def test_enough_answers_end_the_review(folder: Path) -> None:
    doubtful = [Doubtful(word, 1, 1, ("a",)) for word in ("하나", "둘", "셋")]
    replies = iter(["", "q"])
    assert ask(doubtful, Path("data"), lambda question: next(replies)) == 0
    assert not Path("data/aliases.txt").exists()


def test_explain_tells_as_what_everybody_is_masked(folder: Path) -> None:
    rows = [
        "시스템,임아라님이 들어왔습니다.",
        "서나율,아라야 도담이 왔어?",
        "박도담/96/수원,나율왔다 @서나율 tom이랑 왔고 하늘 봐",
        "Tom,하늘아",
    ]
    lines = [f"2026-01-04 19:0{minute}:00,{row}" for minute, row in enumerate([*rows, "김하늘,응"])]
    Path("chat.csv").write_text("Date,User,Message\n" + "\n".join(lines) + "\n", encoding="utf-8")
    told = list(people_masked(Path("chat.csv")))[1:]
    assert [line.strip() for line in told] == [
        "서나율: @서나율 1, 나율 1",
        "박도담/96/수원: 도담 1",
        "Tom: tom 1",
        "김하늘: 하늘 1",
        "임아라: 아라 1",
    ]


def test_whoever_is_invited_or_mentioned_with_marks_is_masked_everywhere(folder: Path) -> None:
    Path("data/raw/chat.csv").unlink()
    lines = ["Ann added Nora Finch", "Ann: nora is late", "Bob: ask @\u2068Priya Patel\u2069", "Ann: priya knows"]
    content = "".join(
        f"01/{day:02}/19, 11:2{place} - {line}\n" for day in range(1, 9) for place, line in enumerate(lines)
    )
    Path("data/raw/chat.txt").write_text(content, encoding="utf-8")
    run()
    assert written() == {"<NAME> is late", "ask <NAME>", "<NAME> knows"}
