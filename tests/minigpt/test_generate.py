"""python -m minigpt.generate."""

import io
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from minigpt import END_OF_TEXT, PADDING, START, UNKNOWN
from minigpt.checkpoint import Checkpoint, read
from minigpt.checkpoint.manifest import Progress
from minigpt.generate import chat, main, newer
from minigpt.inference.decoding import Decoding, InferenceModel
from minigpt.inference.prompts import as_learnt, encode_prompt
from minigpt.inference.sampling import Sampling, generate, sample, stream_text, what_followed
from minigpt.model import MiniGPT
from tests.lan import wait_until
from tests.tiny import LINES, SETTINGS, build_model, save_model

REPOSITORY = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(REPOSITORY)}


class Parrot(Decoding):
    """Knows one row of ids: after as many ids as it has been given, it is sure of the next one in the row."""

    row: list[int]
    lengths: list[int]
    seen: list[int]

    def read(self, ids: Sequence[int], count: int) -> torch.Tensor:
        logits = torch.zeros(count, 400)
        logits[:, self.row[len(self.lengths)]] = 50.0
        self.used += len(ids)
        self.lengths.append(len(ids))
        self.seen += ids
        return logits


@pytest.fixture
def parrot(monkeypatch: pytest.MonkeyPatch) -> type[Parrot]:
    """Speaks in place of every model, and cannot be guessed."""
    monkeypatch.setattr("minigpt.inference.sampling.Decoding", Parrot)
    monkeypatch.setattr("minigpt.inference.sampling.what_followed", lambda ids, count: [])
    Parrot.lengths, Parrot.seen = [], []
    return Parrot


def silent_model(seq_len: int = 8) -> InferenceModel:
    return InferenceModel(MiniGPT(vocab_size=400, d_model=8, nhead=1, num_layers=1, seq_len=seq_len))


@pytest.fixture(scope="module")
def model(processor: Any) -> MiniGPT:
    """Its weights are as exact in half precision, in which answers may be computed."""
    return build_model(processor.get_piece_size()).half().float()


@pytest.fixture(scope="module")
def asked(model: MiniGPT) -> InferenceModel:
    return InferenceModel(model)


# -- ids


def test_stops_at_the_end_of_the_text(parrot: type[Parrot]) -> None:
    parrot.row = [10, 11, 12, END_OF_TEXT, 13]
    assert list(generate(silent_model(), [START, 9], max_new_tokens=100)) == [10, 11, 12]


def test_stops_at_max_new_tokens_and_looks_back_over_seq_len_only(parrot: type[Parrot]) -> None:
    parrot.row = list(range(10, 30))
    assert list(generate(silent_model(), [START, 9, 9], max_new_tokens=12)) == list(range(10, 22))
    assert parrot.lengths == [3, 1, 1, 1, 1, 1, 4, 1, 1, 1, 1, 4], "the prompt in one go, and half of 8 when it is full"


def test_what_is_kept_changes_nothing(model: MiniGPT, asked: InferenceModel) -> None:
    """Every id is the likeliest by the whole model on all that is in the window, computed anew."""
    ids = [START, *range(40, 45)]
    fast = list(generate(asked, ids, max_new_tokens=40, sampling=Sampling(temperature=0)))
    assert len(fast) > 20, "long enough to begin anew"
    said = list(ids)
    for id in fast:
        if len(said) > model.seq_len:
            said = said[-model.seq_len // 2 :]
        with torch.no_grad():
            logits = model(torch.tensor([said]))[0, -1]
        logits[[UNKNOWN, START, PADDING]] = float("-inf")
        assert float(logits.max() - logits[id]) < 1e-4, "the likeliest, up to the order of additions"
        said.append(id)


@pytest.mark.parametrize("most", [12, 3, 1])
@pytest.mark.parametrize("engine", [torch.backends.quantized.engine, "qnnpack"])  # the latter is that of phones
def test_several_tokens_at_once_are_as_good_as_one_by_one(
    model: MiniGPT, monkeypatch: pytest.MonkeyPatch, engine: str, most: int
) -> None:
    monkeypatch.setattr(torch.backends.quantized, "engine", engine)
    asked = InferenceModel(model)
    ids = torch.randint(4, model.vocab_size, (1, 12), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = model(ids)[0]
    for cuts in ([12], [5, 7], [1, 4, 7], [11, 1]):
        decoding = Decoding(asked)
        for part in ids[0].split(cuts):
            logits = decoding.read(part.tolist(), count := min(most, len(part)))
            torch.testing.assert_close(logits, expected[decoding.used - count : decoding.used], atol=1e-5, rtol=1e-5)
        assert decoding.used == 12


@pytest.mark.parametrize("temperature", [0.0, 0.3, 1.0])
def test_guesses_save_passes_and_change_nothing(
    asked: InferenceModel, monkeypatch: pytest.MonkeyPatch, temperature: float
) -> None:
    passes: list[int] = []
    read = Decoding.read

    def counted(self: Decoding, ids: Sequence[int], count: int) -> torch.Tensor:
        passes.append(count)
        return read(self, ids, count)

    def answer() -> list[int]:
        passes.clear()
        sampling = Sampling(temperature=temperature, seed=1)
        return list(generate(asked, [START, *range(40, 45)], max_new_tokens=60, sampling=sampling))

    monkeypatch.setattr(Decoding, "read", counted)
    guessed, fewer = answer(), len(passes)
    with monkeypatch.context() as context:
        context.setattr("minigpt.inference.sampling.what_followed", lambda ids, count: [])
        assert answer() == guessed
        assert max(passes) == 1
    if temperature == 0:
        assert fewer < len(passes) / 2, "this model repeats itself"
    said = iter(guessed)  # a guess that is wrong in the middle, on and on
    wrong = lambda ids, count: [next(said, 50), 300, 300][:count]  # noqa: E731
    monkeypatch.setattr("minigpt.inference.sampling.what_followed", wrong)
    assert answer() == guessed


def test_a_guess_is_how_it_went_on_before() -> None:
    assert what_followed([5, 6, 7, 8, 9, 6, 7, 1, 6, 7], 2) == [1, 6]
    assert what_followed([4, 5, 6, 7, 1, 6, 7, 2, 5, 6, 7], 2) == [1, 6], "three ids tell more than two"
    assert what_followed([3, 5, 6, 5, 6], 7) == [5, 6, 5, 6, 5, 6, 5], "in circles"
    assert what_followed([3, 9, 9], 3) == [9, 9, 9]
    assert what_followed([3, 4, 5], 3) == what_followed([3], 3) == what_followed([3, 4, 3], 0) == []


def test_temperature_zero_takes_the_likeliest(model: MiniGPT, asked: InferenceModel) -> None:
    ids = [START, 50, 60]
    expected: list[int] = []
    for _ in range(10):
        with torch.no_grad():
            logits = model(torch.tensor([ids + expected]))[0, -1]
        logits[[UNKNOWN, START, PADDING]] = float("-inf")
        expected.append(int(logits.argmax()))
    expected = expected[: expected.index(END_OF_TEXT)] if END_OF_TEXT in expected else expected
    assert expected
    for certain in (
        Sampling(temperature=0, seed=0),
        Sampling(temperature=0, seed=1),
        Sampling(top_k=1),
        Sampling(top_p=0.0),
        Sampling(temperature=1e-30),
    ):
        assert list(generate(asked, ids, max_new_tokens=10, sampling=certain)) == expected


def test_a_seed_repeats_the_text_and_another_changes_it(asked: InferenceModel) -> None:
    def ids(seed: int | None) -> list[int]:
        return list(generate(asked, [START], max_new_tokens=12, sampling=Sampling(temperature=1.5, seed=seed)))

    assert ids(3) == ids(3)
    assert len({tuple(ids(seed)) for seed in (3, 4, None, None)}) == 4


def draws(logits: torch.Tensor, **options: Any) -> Counter[int]:
    random = torch.Generator().manual_seed(0)
    choices = {"temperature": 1.0, "top_k": None, "top_p": None, **options}
    return Counter(sample(logits, random=random, **choices) for _ in range(2000))


def test_sampling_follows_the_probabilities() -> None:
    logits = torch.tensor([9.0, 9.0, 0.0, 9.0, 0.5, 0.3, 0.15, 0.05]).log()
    logits[END_OF_TEXT] = float("-inf")
    drawn = draws(logits)
    assert set(drawn) == {4, 5, 6, 7}  # never what is no text, however likely
    assert drawn[4] == pytest.approx(1000, abs=100) and drawn[7] == pytest.approx(100, abs=50)
    assert set(draws(logits, top_k=2)) == {4, 5}
    assert set(draws(logits, top_k=99)) == {4, 5, 6, 7}
    assert set(draws(logits, top_p=0.7)) == {4, 5}
    assert set(draws(logits, top_p=0.9)) == {4, 5, 6}
    assert set(draws(logits, top_p=0.4)) == {4}
    assert draws(logits, temperature=0.25)[4] > 1600
    assert draws(logits, temperature=4.0)[4] < 750
    assert set(draws(logits, temperature=1e-46)) == {4}


# -- text as it comes


def test_characters_of_several_tokens_come_whole(processor: Any) -> None:
    text = " 뷁😀 ㅋㅋ\n漢"
    ids = processor.encode(text)
    parts = list(stream_text(processor, ids))
    assert len(ids) > len(text)  # so there are some
    assert "".join(parts) == text
    assert all("\ufffd" not in part for part in parts)
    assert sum(1 for part in parts if part) > 3  # and not all at the end


def test_broken_bytes_are_shown_as_such(processor: Any) -> None:
    first_byte = processor.encode("😀")[0]
    comma = processor.encode(",")
    assert "".join(stream_text(processor, [first_byte, *comma, first_byte])) == "\ufffd,\ufffd"


def test_text_is_the_tokenizers_own(processor: Any) -> None:
    for line in LINES:
        assert "".join(stream_text(processor, [START, *processor.encode(line), PADDING])) == line


# -- the command


def test_answers_from_the_newest_checkpoint(
    folder: Path,
    tokenizer_model: Path,
    model: MiniGPT,
    asked: InferenceModel,
    processor: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    prompt = ["--prompt", "안녕 GPT!", "--temperature", "0", "--max-new-tokens", "8"]
    assert main(prompt) == 0
    prompt_ids = [START, *processor.encode("안녕 gpt!")]
    ids = generate(asked, prompt_ids, max_new_tokens=8, sampling=Sampling(temperature=0))
    answer = processor.decode(list(ids))
    assert capsys.readouterr().out == answer + "\n"
    save_model(Path("checkpoints"), tokenizer_model, build_model(model.vocab_size, seed=1), round=2)
    assert main(prompt) == 0
    assert capsys.readouterr().out != answer + "\n"
    assert main([*prompt, "--checkpoint", str(folder)]) == 0
    captured = capsys.readouterr()
    assert captured.out == answer + "\n" and captured.err == ""


def test_control_symbols_in_a_prompt_are_plain_characters(processor: Any) -> None:
    ids = encode_prompt("<|endoftext|>\n<|start|>", processor)
    assert ids[0] == START
    assert not {UNKNOWN, START, END_OF_TEXT, PADDING} & set(ids[1:])
    assert processor.decode(ids[1:]) == "<|endoftext|>\n<|start|>"


def test_prompt_file_keeps_its_newlines(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "안녕\n\n뭐해?\n"
    Path("prompt.txt").write_bytes(text.encode())
    Path("stripped.txt").write_bytes(text.strip().encode())
    answers = []
    for source in (["--prompt", text], ["--prompt-file", "prompt.txt"], ["--prompt-file", "stripped.txt"]):
        assert main([*source, "--seed", "5", "--max-new-tokens", "12"]) == 0
        answers.append(capsys.readouterr().out)
    assert answers[0] == answers[1] != answers[2]


def test_standard_input_is_a_prompt_as_well(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = []
    for source in (["--prompt", "안녕\n"], ["--prompt-file", "-"]):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("안녕\n".encode())))
        assert main([*source, "--seed", "5", "--max-new-tokens", "12"]) == 0
        answers.append(capsys.readouterr().out)
    assert answers[0] == answers[1]


def test_several_samples_are_what_each_alone_would_be(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def output(*arguments: str) -> str:
        assert main(["--prompt", "안녕", "--max-new-tokens", "6", "--temperature", "1.5", *arguments]) == 0
        return capsys.readouterr().out

    alone = [output("--seed", str(seed)) for seed in (5, 6, 7)]
    assert len(set(alone)) == 3
    assert output("--seed", "5", "--samples", "3") == "\n".join(alone)


# -- a talk


def test_a_talk_answers_a_line_with_a_line_and_remembers_it(
    parrot: type[Parrot], processor: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    newline = processor.encode("\n")
    greeting, rest = processor.encode("안녕"), processor.encode("뭐해")
    parrot.row = [*newline, *greeting, *newline, *rest, *rest, *rest, *rest]
    chat(
        silent_model(seq_len=64),
        processor,
        ["잘 지내?\n", "응"],
        Sampling(),
        max_new_tokens=3 + len(newline) + len(greeting),
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "안녕"
    assert lines[1].startswith("뭐해")
    assert len(lines) == 2
    talk = [START]
    for part in ("잘 지내?\n", "\n", "안녕", "\n", "응\n"):
        talk += processor.encode(part)
    assert parrot.seen[: len(talk)] == talk


def test_talking_as_a_program(folder: Path) -> None:
    command = [sys.executable, "-m", "minigpt.generate", "--chat", "--seed", "1", "--max-new-tokens", "8"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONIOENCODING": "utf-8"}
    talk = subprocess.run(command, env=environment, input="안녕\n뭐해\n", capture_output=True, text=True, timeout=60)
    assert (talk.returncode, talk.stderr) == (0, "")
    assert len(talk.stdout.splitlines()) == 2


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])  # the second where no language is set
def test_a_talk_that_is_no_text(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, errors: str
) -> None:
    typed = io.BytesIO("안녕\n".encode() + "뭐해\n".encode("cp949"))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(typed, encoding="utf-8", errors=errors))
    assert main(["--chat", "--seed", "1", "--max-new-tokens", "4"]) == 2
    assert capsys.readouterr().err == "standard input is not UTF-8 text\n"


def holds(path: Path, text: str) -> bool:
    return path.read_bytes() == text.encode()


def test_a_prompt_is_answered_again_after_every_round(
    folder: Path, tokenizer_model: Path, model: MiniGPT, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    question = ["--prompt", "안녕", "--max-new-tokens", "5", "--seed", "1"]
    assert main(question) == 0
    answer = capsys.readouterr().out
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONIOENCODING": "utf-8"}
    answers, remarks = tmp_path / "answers", tmp_path / "remarks"
    with answers.open("wb") as output, remarks.open("wb") as errors:
        command = [sys.executable, "-m", "minigpt.generate", *question, "--follow"]
        # a shell's background job hands on an ignored Ctrl+C
        heeds = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        program = subprocess.Popen(command, env=environment, stdout=output, stderr=errors, preexec_fn=heeds)
        try:
            for round in (1, 2, 3):
                if round > 1:
                    save_model(Path("checkpoints"), tokenizer_model, model, round=round, step=10 * round)
                assert wait_until(partial(holds, answers, answer * round), 60), remarks.read_text()
            assert remarks.read_text() == "round 2:\nround 3:\n"
            program.send_signal(signal.SIGINT)
            assert program.wait(10) == 130
        finally:
            program.kill()
            program.wait()


def test_who_follows_several_donors_is_not_led_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def at(round: int, step: int, run_id: str = "cellmind-0123456789ab") -> Checkpoint:
        progress = Progress("cellmind", run_id, round=round, samples=100 * round, step=step, anchor=f"{round}")
        return Checkpoint(Path(), progress, SETTINGS, {}, 400)

    donors = [at(2, 30), at(2, 31), at(1, 40), at(3, 50), at(1, 5, "cellmind-ba9876543210")]
    monkeypatch.setattr("minigpt.generate.FOLLOW_SECONDS", 0.0)
    assert newer(at(2, 30), lambda: donors.pop(0)) == at(3, 50)
    assert newer(at(3, 50), lambda: donors.pop(0)) == at(1, 5, "cellmind-ba9876543210")


def test_long_prompt_is_cut_in_front_and_that_is_said(
    folder: Path, processor: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--prompt", "가나다라 " * 50 + "생일 축하해!!", "--seed", "1", "--max-new-tokens", "3"]) == 0
    captured = capsys.readouterr()
    assert "looks back over 16: only its last part is used" in captured.err
    assert len(captured.err.splitlines()) == 1


def test_tags_stay_what_they_are(folder: Path, processor: Any) -> None:
    text = as_learnt("<P1>: HAHA <PHOTO> cafe\u0301", read(folder))
    assert text == "<P1>: haha <PHOTO> café"
    assert {"<P1>", "<PHOTO>"} <= set(processor.encode(text, out_type=str))


def test_capital_letters_are_small_where_those_of_the_chats_were(
    tmp_path: Path,
    tokenizer_model: Path,
    model: MiniGPT,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    as_written = SETTINGS.model_copy(update={"data": SETTINGS.data.model_copy(update={"lower_case": False})})
    for round, settings, same in ((1, SETTINGS, True), (2, as_written, False)):
        save_model(Path("checkpoints"), tokenizer_model, model, round=round, settings=settings)
        answers = []
        for prompt in ("gpt 안녕", "GPT 안녕"):
            assert main(["--prompt", prompt, "--temperature", "0", "--max-new-tokens", "20"]) == 0
            answers.append(capsys.readouterr().out)
        assert (answers[0] == answers[1]) is same


def test_empty_prompt_begins_a_text_of_its_own(folder: Path) -> None:
    assert main(["--prompt", "", "--seed", "1", "--max-new-tokens", "3"]) == 0


def test_no_checkpoint_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["--prompt", "안녕"]) == 2
    captured = capsys.readouterr()
    assert captured.err == "no checkpoint under checkpoints/ yet: start training with python -m peer --join\n"
    assert captured.out == ""


def test_torn_checkpoint(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.truncate(folder / "model.safetensors", 100)
    assert main(["--prompt", "안녕", "--checkpoint", "checkpoints/latest"]) == 2
    assert "checkpoints/latest: model.safetensors is cut off" in capsys.readouterr().err
    assert main(["--prompt", "안녕"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and "is cut off" in lines[0] and lines[1].startswith("no checkpoint")


INSIDE = "has some in it: give one of those, such as"


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("none", "none: there is no such folder"),
        ("loop", "loop: there is no such folder"),
        ("checkpoints", f"checkpoints is no checkpoint, but {INSIDE} checkpoints/latest"),
        (".", ".: not a whole checkpoint: training.json cannot be read: No such file or directory"),
    ],
)
def test_folders_that_are_no_checkpoints(
    folder: Path, place: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("loop").symlink_to("loop")
    assert main(["--prompt", "안녕", "--checkpoint", place]) == 2
    assert capsys.readouterr().err == f"{message}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--prompt-file", "none.txt"], "the prompt file none.txt cannot be read: No such file or directory"),
        (["--prompt-file", "cp949.txt"], "the prompt file cp949.txt is not UTF-8 text; save it as UTF-8"),
        (["--prompt", "\udcff"], "the prompt is not valid UTF-8 text"),
    ],
)
def test_bad_prompts(folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    Path("cp949.txt").write_bytes("안녕".encode("cp949"))
    assert main(arguments) == 2
    assert capsys.readouterr().err == f"{message}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--prompt", "a", "--prompt-file", "b"],
        ["--prompt", "a", "--temperature", "-1"],
        ["--prompt", "a", "--temperature", "nan"],
        ["--prompt", "a", "--top-p", "1.5"],
        ["--prompt", "a", "--top-k", "0"],
        ["--prompt", "a", "--max-new-tokens", "many"],
        ["--chat", "--follow"],
    ],
)
def test_bad_arguments(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert arguments[-2:-1] == [] or arguments[-2] in capsys.readouterr().err


def test_as_a_program_in_a_pipe_that_closes_early(folder: Path) -> None:
    command = [sys.executable, "-m", "minigpt.generate", "--prompt", "안녕", "--max-new-tokens", "200", "--seed", "1"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONIOENCODING": "ascii"}
    program = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert program.stdout is not None and program.stderr is not None
    program.stdout.close()
    errors = program.stderr.read().decode()
    program.stderr.close()
    assert (program.wait(60), errors) == (0, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device here that is always full")
def test_as_a_program_whose_output_has_no_room(folder: Path) -> None:
    command = [sys.executable, "-m", "minigpt.generate", "--prompt", "안녕", "--max-new-tokens", "5"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, env=ENVIRONMENT, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (1, "what there is to say cannot be written: No space left on device\n")


@pytest.mark.parametrize("arguments", [["--chat"], ["--prompt-file", "-"]])
def test_as_a_program_without_standard_input(folder: Path, arguments: list[str]) -> None:
    command = f'exec "{sys.executable}" -m minigpt.generate {" ".join(arguments)} <&-'
    done = subprocess.run(["sh", "-c", command], env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (2, "there is no standard input to read from\n")
