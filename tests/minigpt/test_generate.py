"""python -m minigpt.generate."""

import io
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from minigpt import END_OF_TEXT, PADDING, START, UNKNOWN
from minigpt.checkpoint import Checkpoint, read
from minigpt.checkpoint.manifest import Progress
from minigpt.generate import chat, main, newer, write_samples
from minigpt.inference.decoding import InferenceModel
from minigpt.inference.prompts import as_learnt, encode_prompt
from minigpt.inference.sampling import Sampling, generate
from minigpt.model import MiniGPT
from tests.lan import wait_until
from tests.minigpt.parrot import Parrot, silent_model
from tests.tiny import SETTINGS, build_model, save_model

REPOSITORY = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(REPOSITORY)}


@pytest.fixture(scope="module")
def model(processor: Any) -> MiniGPT:
    """Its weights are as exact in half precision, in which answers may be computed."""
    return build_model(processor.get_piece_size()).half().float()


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


def test_no_model_gives_commands_to_a_terminal(
    parrot: type[Parrot], processor: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    parrot.row = processor.encode("하나\x1b[2J\n둘")
    sampling, count = Sampling(temperature=0), len(parrot.row)
    for at_a_terminal, written in ((False, "하나\x1b[2J\n둘\n"), (True, "하나\ufffd[2J\n둘\n")):
        monkeypatch.setattr(sys.stdout, "isatty", lambda answer=at_a_terminal: answer)
        parrot.lengths.clear()
        write_samples(silent_model(seq_len=64), processor, [START], sampling, count, 1)
        assert capsys.readouterr().out == written


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


@pytest.mark.lan
def test_talking_as_a_program(folder: Path) -> None:
    command = [sys.executable, "-m", "minigpt.generate", "--chat", "--seed", "1", "--max-new-tokens", "8"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONIOENCODING": "utf-8"}
    talk = subprocess.run(command, env=environment, input="안녕\n뭐해\n", capture_output=True, text=True, timeout=180)
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


@pytest.mark.lan
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
            assert program.wait(60) == 130
        finally:
            program.kill()
            program.wait()


def test_who_follows_several_donors_is_not_led_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def at(round: int, step: int, run_id: str = "cellmind-0123456789ab") -> Checkpoint:
        progress = Progress("cellmind", run_id, round=round, samples=100 * round, step=step, version=f"{round}")
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
    assert (
        captured.err == f"no checkpoint under checkpoints/ yet: start training with {sys.orig_argv[0]} -m peer --join\n"
    )
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


@pytest.mark.lan
def test_as_a_program_in_a_pipe_that_closes_early(folder: Path) -> None:
    command = [sys.executable, "-m", "minigpt.generate", "--prompt", "안녕", "--max-new-tokens", "200", "--seed", "1"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONIOENCODING": "ascii"}
    program = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert program.stdout is not None and program.stderr is not None
    program.stdout.close()
    errors = program.stderr.read().decode()
    program.stderr.close()
    assert (program.wait(60), errors) == (0, "")


@pytest.mark.lan
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device here that is always full")
def test_as_a_program_whose_output_has_no_room(folder: Path) -> None:
    command = [sys.executable, "-m", "minigpt.generate", "--prompt", "안녕", "--max-new-tokens", "5"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, env=ENVIRONMENT, stdout=full, stderr=subprocess.PIPE, text=True, timeout=180)
    assert (done.returncode, done.stderr) == (1, "what there is to say cannot be written: No space left on device\n")


@pytest.mark.lan
@pytest.mark.parametrize("arguments", [["--chat"], ["--prompt-file", "-"]])
def test_as_a_program_without_standard_input(folder: Path, arguments: list[str]) -> None:
    command = f'exec "{sys.executable}" -m minigpt.generate {" ".join(arguments)} <&-'
    done = subprocess.run(["sh", "-c", command], env=ENVIRONMENT, capture_output=True, text=True, timeout=180)
    assert (done.returncode, done.stderr) == (2, "there is no standard input to read from\n")
