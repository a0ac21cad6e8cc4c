"""python -m minigpt.evaluate."""

import math
from pathlib import Path

import pytest
import torch

import tokenizer
from minigpt.evaluate import main
from tests.tiny import LINES, build_model, save_model, train_tokenizer, write_jsonl

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
    assert main([str(folder), str(smaller), "--data", "valid.jsonl"]) == 0
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
        assert main([str(folder), "--data", data]) == 0
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


def test_no_data_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["checkpoints/latest"])
    assert caught.value.code == 2 and "--data" in capsys.readouterr().err
