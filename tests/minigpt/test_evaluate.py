"""python -m minigpt.evaluate."""

import math
import re
from pathlib import Path

import pytest
import torch

import tokenizer
from minigpt.evaluate import main
from minigpt.written import Passage
from tests.tiny import LINES, build_model, save_model, train_tokenizer, write_jsonl

TRAINING = Path("data/for-model-training/train.jsonl")  # where the settings say
BYTES = sum(len(line.encode()) for line in LINES)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder is one with a checkpoint, texts, and the same texts for training."""
    monkeypatch.chdir(tmp_path)
    write_jsonl(tmp_path / "valid.jsonl", LINES)
    return save_untrained(Path("checkpoints"), train_tokenizer(tmp_path))


def save_untrained(root: Path, tokenizer_model: Path) -> Path:
    """A checkpoint of a model to which every token is as likely as any other."""
    model = build_model(tokenizer.load(tokenizer_model).get_piece_size())
    with torch.no_grad():
        model.model.norm.weight.zero_()
    return save_model(root, tokenizer_model, model, round=3, step=70)


def rows(printed: str) -> list[list[str]]:
    heading, *lines = printed.splitlines()
    assert heading.split()[:3] == ["bits/byte", "nats/token", "tokens"]
    return [line.split() for line in lines]


def test_table_has_a_line_for_each_checkpoint(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = train_tokenizer(Path(), vocab_size=380)
    smaller = save_untrained(Path("smaller"), other)
    assert main([str(folder), str(smaller), "--data", "valid.jsonl", "--write", "0"]) == 0
    table = rows(capsys.readouterr().out)
    for row, saved in zip(table, (folder, smaller), strict=True):
        processor = tokenizer.load(saved / "tokenizer.model")
        tokens = sum(len(processor.encode(line)) + 1 for line in LINES)  # all of them, and the end of each text
        nats = math.log(processor.get_piece_size())
        assert float(row[0]) == pytest.approx(tokens * nats / math.log(2) / BYTES, abs=1e-3)
        assert float(row[1]) == pytest.approx(nats, abs=1e-3)
        assert row[2:] == [f"{tokens:,}", f"{768 * 16:,}", "3", "70", str(saved)]
    assert table[0][0] != table[1][0]


def test_plain_text_is_a_text_a_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line for line in LINES if "\n" not in line]
    write_jsonl(Path("lines.jsonl"), lines)
    Path("lines.txt").write_text("\ufeff" + "\r\n\r\n".join(lines), encoding="utf-8", newline="")
    tables = []
    for data in ("lines.jsonl", "lines.txt"):
        assert main([str(folder), "--data", data, "--write", "0"]) == 0
        tables.append(capsys.readouterr().out)
    assert tables[0] == tables[1]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("none.jsonl", "none.jsonl cannot be read: No such file or directory"),
        ("none.txt", "none.txt cannot be read: No such file or directory"),
        ("checkpoints", "checkpoints cannot be read: Is a directory"),
        ("empty.txt", "empty.txt has no text in it to measure the model on"),
        ("cp949.txt", "cp949.txt is not UTF-8 text; save it as UTF-8"),
        ("broken.jsonl", 'broken.jsonl line 1: no "text"; every line must be {"text": "…"}'),
    ],
)
def test_bad_data(folder: Path, data: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("empty.txt").write_text("\n\n")
    Path("cp949.txt").write_bytes("안녕".encode("cp949"))
    Path("broken.jsonl").write_text("[]\n")
    assert main([str(folder), "--data", data]) == 2
    captured = capsys.readouterr()
    assert (captured.err, captured.out) == (f"{message}\n", "")


def test_folder_that_is_no_checkpoint(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(folder), "none", "--data", "valid.jsonl"]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("none: there is no such folder") and len(captured.err.splitlines()) == 1
    assert captured.out == "", "it is said before anything is measured"


def test_held_out_texts_are_those_beside_the_training_texts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(folder)]) == 2
    message = "there are no held-out texts at data/for-model-training/valid.jsonl: give some with --data FILE\n"
    assert capsys.readouterr() == ("", message)
    TRAINING.parent.mkdir(parents=True)
    write_jsonl(TRAINING.with_name("valid.jsonl"), LINES[:3])
    assert main([str(folder), "--write", "0"]) == 0
    by_default = capsys.readouterr().out
    assert main([str(folder), "--write", "0", "--data", str(TRAINING.with_name("valid.jsonl"))]) == 0
    assert capsys.readouterr().out == by_default


# -- what it writes


def written(printed: str) -> list[list[str]]:
    """The cells of what is written, a list a line: exist, seq-rep-4, distinct-2, words, copied, lines, speed, text."""
    lines = printed.split("\n\n")[1].splitlines()
    assert lines[0].split()[:4] == ["words", "exist", "seq-rep-4", "distinct-2"]
    return [re.split(r"\s{2,}", line.strip()) for line in lines[1:]]


def test_what_a_model_writes_is_judged_by_the_training_texts(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = ["the quick brown fox eats café", "뷁쀍 the quick brown mouse eats"]
    monkeypatch.setattr(
        "minigpt.evaluate.write_passages", lambda *a, **b: [Passage([7, 8, 9, 7], t, True) for t in texts]
    )
    TRAINING.parent.mkdir(parents=True)
    write_jsonl(TRAINING, ["the quick brown fox eats, café 햏햏\nThe quick BROWN fox eats… café!"])
    assert main([str(folder), "--data", "valid.jsonl", "--write", "12"]) == 0
    held_out, model = written(capsys.readouterr().out)
    assert model[:6] == [f"{10 / 12:.3f}", "0.000", f"{8 / 10:.3f}", "12", "0.500", "2"] and model[7] == str(folder)
    assert held_out[0] == "0.000", "none of its first words is in the training texts"
    assert held_out[6:] == ["–", "held-out texts"]


def test_words_of_a_list_exist_and_missing_training_texts_are_said(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("words.dic").write_text("안녕/12\nGPT\n오늘\n", encoding="utf-8")
    assert main([str(folder), "--data", "valid.jsonl", "--write", "4", "--words", "words.dic"]) == 0
    captured = capsys.readouterr()
    missing = f"{TRAINING} cannot be read: No such file or directory: without the training texts"
    assert captured.err == f"{missing} copied lines are not counted\n"
    assert written(captured.out)[0][:5] == ["0.750", "0.000", "1.000", "4", "–"]
    assert main([str(folder), "--data", "valid.jsonl", "--write", "4"]) == 0
    captured = capsys.readouterr()
    assert captured.err == f"{missing} words that exist and copied lines are not counted\n"
    assert [row[0] for row in written(captured.out)] == ["–", "–"]


def test_the_same_seed_writes_the_same(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    TRAINING.parent.mkdir(parents=True)
    write_jsonl(TRAINING, LINES)
    tables = []
    for seed in ("3", "3", "4"):
        assert main([str(folder), "--data", "valid.jsonl", "--write", "30", "--seed", seed]) == 0
        table = written(capsys.readouterr().out)
        tables.append([row[:6] for row in table])
        assert [float(row[6]) > 0 for row in table[1:]] == [True]
    assert tables[0] == tables[1] != tables[2]


# -- topics


def test_a_topic_is_a_file_or_a_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("food/more").mkdir(parents=True)
    Path("food/a.txt").write_text("밥 먹자\nThe quick brown FOX\n", encoding="utf-8")
    write_jsonl(Path("food/more/b.jsonl"), ["café"])
    Path("food/picture.png").write_bytes(b"\xff")
    Path("fox.txt").write_text("밥 먹자\nthe quick brown fox\ncafé", encoding="utf-8")
    arguments = ["--data", "valid.jsonl", "--write", "0", "--topic", "food=food", "--topic", "fox=fox.txt"]
    assert main([str(folder), *arguments]) == 0
    heading, *lines = capsys.readouterr().out.split("\n\n")[1].splitlines()
    assert heading.split() == ["bits/byte", "perplexity", "tokens", "topic", "checkpoint"]
    one, other = (line.split() for line in lines)
    assert one[:3] == other[:3], "in small letters, as the model has learnt"
    assert one[3:] == ["food", str(folder)] and other[3:] == ["fox", str(folder)]
    vocabulary = tokenizer.load(folder / "tokenizer.model").get_piece_size()
    assert float(one[1]) == pytest.approx(vocabulary, rel=1e-3), "every token is as likely as any other"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--topic", "food=none.txt"], "none.txt cannot be read: No such file or directory"),
        (["--topic", "food=empty"], "empty has no .txt or .jsonl file in it"),
        (["--topic", "food=empty.txt"], "empty.txt has no text in it to measure the model on"),
        (["--words", "none.txt"], "none.txt cannot be read: No such file or directory"),
        (["--words", "empty.txt"], "empty.txt has no word in it"),
        (["--words", "cp949.txt"], "cp949.txt is not UTF-8 text; save it as UTF-8"),
    ],
)
def test_bad_topics_and_words_are_said_before_anything_is_measured(
    folder: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("empty").mkdir()
    Path("empty.txt").write_text("\n")
    Path("cp949.txt").write_bytes("안녕".encode("cp949"))
    assert main([str(folder), "--data", "valid.jsonl", *arguments]) == 2
    assert capsys.readouterr() == ("", f"{message}\n")


def test_a_topic_without_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["checkpoints/latest", "--topic", "food.txt"])
    assert caught.value.code == 2 and "food.txt is not NAME=PATH, such as food=food.txt" in capsys.readouterr().err
