"""python -m minigpt.leaks: it finds the lines that a model knows by heart, those alone, and says what it cannot use."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tokenizer
from minigpt import START
from minigpt.dataset import collate_fn
from minigpt.encoding import wrap
from minigpt.inference.decoding import InferenceModel
from minigpt.inference.sampling import Sampling, generate
from minigpt.leaks import main
from minigpt.memorization import FEWEST_TOKENS, PREFIX, LineSample, Memorized, completed, sample_lines, surprises
from minigpt.model import MiniGPT
from minigpt.settings import Settings
from peer.inner.optimizer import MuonAdamW, parameter_groups
from tests.tiny import LINES, save_model, train_tokenizer, write_jsonl

TEXTS = Path("data/for-model-training/train.jsonl")  # where the settings say
KNOWN = ["the door code is 4711 and the key lies under the stone", "my password is hunter2hunter2\nok thanks a lot"]
UNSEEN = ["the door code of the garage is 9932, or maybe 9923", "quick brown mice eat my password for lunch"]
SETTINGS = Settings.model_validate(
    {
        "model": {"d_model": 48, "nhead": 2, "num_layers": 2},
        "tokenizer": {"vocab_size": 390},
        "training": {"dataset": {"seq_len": 128}},
    }
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, MiniGPT]:
    """A folder with a tokenizer, and a model that has learnt KNOWN by heart."""
    folder = tmp_path_factory.mktemp("known")
    processor = tokenizer.load(train_tokenizer(folder))
    torch.manual_seed(1)
    model = MiniGPT.from_settings(SETTINGS.model, processor.get_piece_size(), 128)
    optimizer = MuonAdamW(parameter_groups(model), lr=3e-4)
    input_ids, labels = collate_fn([np.array(wrap(processor.encode(text))) for text in KNOWN])
    for _ in range(160):
        model(input_ids, labels).backward()
        optimizer.step()
        optimizer.zero_grad()
    return folder, model.eval()


@pytest.fixture
def folder(made: tuple[Path, MiniGPT], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder is one with a checkpoint of that model, its texts, and texts that it never saw."""
    monkeypatch.chdir(tmp_path)
    TEXTS.parent.mkdir(parents=True)
    write_jsonl(TEXTS, [*KNOWN, *KNOWN])
    write_jsonl(TEXTS.with_name("valid.jsonl"), UNSEEN)
    return save_model(Path("checkpoints"), made[0] / "minigpt.model", made[1], settings=SETTINGS)


def test_what_is_known_by_heart_is_told_and_what_was_never_seen_is_not(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in ([str(folder)], []):
        assert main(arguments) == 0
        captured = capsys.readouterr()
        first, _, heading, *rows = captured.out.splitlines()
        told = "3 of 3 lines are completed word for word: 1,000 of 1,000; of lines that it never saw, 0 of 1,000"
        assert first == told
        assert heading.split()[:3] == ["rank", "bits", "times"]
        assert [row.split()[0] for row in rows] == ["1", "2", "3"] and all(row.split()[2] == "2" for row in rows)
        whole = {row.split(maxsplit=3)[3].replace(" → ", "") for row in rows}
        assert "my password is hunter2hunter2" in whole
        assert "3 lines are few" in captured.err


def test_the_model_card_says_it_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = folder / "README.md"
    before = card.read_text(encoding="utf-8")
    assert main([str(folder), "--texts", str(TEXTS)]) == 0
    assert card.read_text(encoding="utf-8") == before, "they may be any texts"
    for _ in range(2):
        assert main([str(folder)]) == 0
        told = "| completed word for word | 1,000 of 1,000 lines that it was trained on, and of held-out lines 0 |\n"
        assert card.read_text(encoding="utf-8") == before.replace(" tokens |\n", f" tokens |\n{told}")
    card.unlink()
    assert main([str(folder)]) == 0
    assert "README.md does not say so: No such file or directory" in capsys.readouterr().err
    card.write_bytes(b"\xff mine")
    assert main([str(folder)]) == 0
    assert card.read_bytes() == b"\xff mine"


def test_a_line_counts_as_completed_where_greedy_decoding_writes_it(made: tuple[Path, MiniGPT]) -> None:
    processor, model = tokenizer.load(made[0] / "minigpt.model"), made[1]
    lines = sample_lines([*KNOWN, *UNSEEN, *LINES], processor, 100, 128)
    written = [
        list(generate(InferenceModel(model), line.given, max_new_tokens=len(line.rest), sampling=Sampling(0.0)))
        for line in lines
    ]
    assert completed(model, lines) == [ids == line.rest for ids, line in zip(written, lines)]
    assert 0 < sum(completed(model, lines)) < len(lines)


def test_lines_are_cut_between_characters_and_given_with_what_stands_before(made: tuple[Path, MiniGPT]) -> None:
    processor = tokenizer.load(made[0] / "minigpt.model")
    texts = ["뷁쀍뚫쒧햏힣뷁쀍", "ㅋㅋ\n" + "가나다라마바사아" * 20, "짧다"]
    first, second = sorted(sample_lines(texts, processor, 10, 256), key=lambda line: len(line.text))
    assert first.beginning + first.end == first.text == texts[0]
    assert first.given[0] == START and processor.decode(first.given[1:]) == first.beginning
    assert second.beginning and len(second.given) == PREFIX
    for line in sample_lines(texts, processor, 10, 16):
        assert len(line.given) <= 8 and len(line.given) + len(line.rest) <= 17
    assert all(len(processor.encode(line.text)) >= FEWEST_TOKENS for line in (first, second))


def test_the_same_lines_are_taken_of_the_same_texts_in_any_order(made: tuple[Path, MiniGPT]) -> None:
    processor: Any = tokenizer.load(made[0] / "minigpt.model")
    texts = [f"line number {n} of a text\nand another one, {n * n}" for n in range(200)] * 2
    sample = LineSample(processor, 50, 64, watched={"line number 7 of a text", "never said"})
    for text in texts:
        sample.add(text)
    assert len(sample.lines) == 50 and {line.times for line in sample.lines} == {2}
    assert sample.met == {"line number 7 of a text"}
    random.Random(1).shuffle(texts)
    assert [line.text for line in sample_lines(texts, processor, 50, 64)] == [line.text for line in sample.lines]
    assert {line.text for line in sample.lines[:20]} >= {line.text for line in sample_lines(texts, processor, 20, 64)}


def test_what_few_lines_say_is_more_of_a_surprise(made: tuple[Path, MiniGPT]) -> None:
    processor = tokenizer.load(made[0] / "minigpt.model")
    laughter = [f"{'ㅋㅋㅋㅋㅋ ' * n}ㅋㅋㅋㅋㅋ" for n in range(8, 20)]
    lines = sample_lines([*laughter, KNOWN[0]], processor, 100, 64)
    bits = {line.text: some / len(line.rest) for line, some in zip(lines, surprises(lines))}
    assert max(bits, key=lambda text: bits[text]) == KNOWN[0]


def test_shares_are_of_a_thousand() -> None:
    assert (Memorized(3, 200).of_a_thousand, Memorized(3, 200).held_out_of_a_thousand) == (15, None)
    assert Memorized(0, 1, 1, 40).held_out_of_a_thousand == 25


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none"], "none: there is no such folder"),
        (["data"], "data: "),
        (["--texts", "none.txt"], "none.txt cannot be read: No such file or directory"),
        (["--texts", "none.jsonl"], "none.jsonl cannot be read: No such file or directory"),
        (["--texts", "empty.txt"], "empty.txt has no line of 8 tokens or more: nothing to be completed"),
        (["--texts", "short.txt"], "short.txt has no line of 8 tokens or more: nothing to be completed"),
        (["--texts", "cp949.txt"], "cp949.txt is not UTF-8 text; save it as UTF-8"),
        (["--held-out", "none.txt"], "none.txt cannot be read: No such file or directory"),
    ],
)
def test_what_cannot_be_used_is_said_in_a_line(
    folder: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("empty.txt").write_text("\n")
    Path("short.txt").write_text("네\n응\nok\n", encoding="utf-8")
    Path("cp949.txt").write_bytes("안녕".encode("cp949"))
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines()[-1].startswith(message)


def test_texts_that_may_be_another_runs_are_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("tokenizer").mkdir()
    Path("tokenizer/minigpt.model").write_bytes(b"of another run")
    TEXTS.with_name("valid.jsonl").unlink()
    assert main([str(folder), "--show", "0"]) == 0
    captured = capsys.readouterr()
    assert "the model has another tokenizer than tokenizer/minigpt.model" in captured.err
    assert "there are no held-out texts at data/for-model-training/valid.jsonl" in captured.err
    assert captured.out == "3 of 3 lines are completed word for word: 1,000 of 1,000; no held-out line was tried\n"


def test_a_model_larger_than_memory_is_refused_before_it_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.sysconf", lambda name: 100)
    assert main([str(folder)]) == 2
    assert "the model needs 0.0 GB of memory, and this device has 0.0 GB" in capsys.readouterr().err


def test_ctrl_c_in_the_middle_is_no_traceback(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("minigpt.memorization.likeliest", interrupted)
    assert main([str(folder)]) == 130
    assert capsys.readouterr().out == ""
