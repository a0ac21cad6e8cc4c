"""The tokenizer gives back every character, the same bytes for the same input, and plain words for bad input."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import sentencepiece

import tokenizer
from tests.tiny import LINES, write_jsonl
from tokenizer import TAGS, TokenizerError, fitting_vocab_size, load, train
from tokenizer.report import report

REPOSITORY = Path(__file__).parents[2]
REVIEWS = REPOSITORY.parent / "shared/corpora/nsmc-reviews.txt"
WORDS = (
    "안녕",
    "오늘",
    "저녁",
    "뭐해",
    "영화",
    "보러",
    "갈래",
    "ㅋㅋㅋㅋㅋ",
    "ㅠㅠ",
    "<NAME>야",
    "<EMOJI>",
    "3시",
    "10분",
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few thousand lines made of a few words, enough for 400 pieces."""
    path = tmp_path_factory.mktemp("corpus") / "textonly.txt"
    lines = (" ".join(WORDS[(i * step) % len(WORDS)] for step in (1, 3, 5, 7)) for i in range(3000))
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def model(corpus: Path) -> Path:
    return quiet(corpus, output_dir=corpus.parent / "model", vocab_size=340)


def quiet(input: Path, **settings: object) -> Path:
    return train(input, report=lambda line: None, **settings)  # type: ignore[arg-type]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "text",
    [
        "안녕 GPT! ㅋㅋㅋㅋㅋ ㅠㅠ",
        "  앞 두 칸, 가운데   세 칸, 뒤 두 칸  ",
        "첫 줄\n둘째 줄\n\n\t넷째",
        "이모지 👨‍👩‍👧‍👦🇰🇷 그대로, 뷁 똠 𠮷",
        "<NAME>야 <PHOTO><EMOJI> <URL>",
        "1234567890원",
        "<|start|> <|endoftext|> <0x41> <s>",
        "",
    ],
)
def test_exact_round_trip_without_control_or_unknown_ids(model: Path, text: str) -> None:
    processor = load(model)
    ids = processor.encode(text)
    assert processor.decode(ids) == text
    assert not set(ids) & {0, 1, 2, 3}


def test_tags_are_one_piece_and_a_newline_and_a_digit_too(model: Path) -> None:
    processor = load(model)
    for piece in (*TAGS, "\n", "7"):
        assert len(processor.encode(piece)) == 1
    assert [processor.id_to_piece(i) for i in range(4)] == ["<unk>", "<|start|>", "<|endoftext|>", "<|pad|>"]
    assert processor.get_piece_size() == 340
    vocabulary = model.with_suffix(".vocab").read_text(encoding="utf-8").splitlines()
    assert not [line for line in vocabulary if "10" in line.split("\t")[0] and not line.startswith("<")]
    assert [line.split("\t")[0] for line in vocabulary] == [processor.id_to_piece(i) for i in range(340)]


def test_a_tokenizer_of_the_time_with_five_tags_still_loads(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokenizer.TAGS", TAGS[:5])
    processor = load(quiet(corpus, output_dir=tmp_path, vocab_size=310))
    assert [processor.id_to_piece(i) for i in range(4, 9)] == ["<PHOTO>", "<MOVIE>", "<EMOJI>", "<URL>", "<NAME>"]
    assert processor.decode(processor.encode("<PHONE> <P1>")) == "<PHONE> <P1>"


def test_same_input_same_bytes_wherever_it_is_written(corpus: Path, model: Path, tmp_path: Path) -> None:
    again = quiet(corpus, output_dir=tmp_path / "elsewhere", model_prefix="other", vocab_size=340)
    assert again == tmp_path / "elsewhere/other.model"
    assert sha256(again) == sha256(model)
    files = {path.name: path.read_bytes() for path in again.parent.iterdir()}
    assert sorted(files) == ["other.model", "other.vocab", "tokenizer.model", "tokenizer_config.json"]
    assert files["tokenizer.model"] == files["other.model"]


def test_the_folder_is_a_hugging_face_tokenizer(model: Path) -> None:
    from transformers import AutoTokenizer

    processor, theirs = load(model), AutoTokenizer.from_pretrained(model.parent)
    texts = [*LINES, "<|start|> <|endoftext|> <unk> <|pad|>", "a<NAME>b <NAME> <PHOTO><URL>", "\n\t 끝 ", "<s></s>"]
    assert theirs(texts)["input_ids"] == [[1, *ids] for ids in processor.encode(texts)]
    assert theirs.convert_ids_to_tokens([1, 2, 3]) == ["<|start|>", "<|endoftext|>", "<|pad|>"]
    assert [theirs.decode(processor.encode(text)) for text in texts] == texts


def test_of_more_text_than_memory_is_meant_for_every_so_many_lines_count(
    tmp_path: Path, corpus: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    characters = len(corpus.read_text(encoding="utf-8").replace("\n", ""))
    monkeypatch.setattr(tokenizer, "_MAX_CHARACTERS", characters // 3 + 1)
    told: list[str] = []
    train(corpus, output_dir=tmp_path / "third", vocab_size=340, report=told.append)
    assert f"on one line in 3 of {corpus} (3,000 lines, {characters:,} characters)" in told[0]
    (tmp_path / "third.txt").write_text(
        "\n".join(corpus.read_text(encoding="utf-8").split("\n")[::3]), encoding="utf-8"
    )
    third = quiet(tmp_path / "third.txt", output_dir=tmp_path / "same", vocab_size=340)
    assert sha256(third) == sha256(tmp_path / "third/minigpt.model")
    assert sha256(third) != sha256(model)


@pytest.mark.parametrize("model_type", ["bpe", "unigram"])
@pytest.mark.parametrize("text", ["a", "안녕 하세요\n뭐해 지금\n" * 20])
def test_a_small_corpus_gets_the_largest_vocabulary_and_is_told(tmp_path: Path, text: str, model_type: str) -> None:
    source = tmp_path / "small.txt"
    source.write_text(text, encoding="utf-8")
    told: list[str] = []
    processor = load(train(source, output_dir=tmp_path, vocab_size=8000, model_type=model_type, report=told.append))
    size = processor.get_piece_size()
    assert 256 + 4 + len(TAGS) < size < 360
    assert f"too small for 8,000 pieces: the vocabulary has {size:,}" in told[-1]
    told.clear()
    train(source, output_dir=tmp_path, vocab_size=size, model_type=model_type, report=told.append)
    assert len(told) == 1  # it fits, and one more does not
    train(source, output_dir=tmp_path, vocab_size=size + 1, model_type=model_type, report=told.append)
    assert "too small" in told[-1]


def test_long_lines_are_learned_from(tmp_path: Path) -> None:
    source = tmp_path / "long.txt"
    source.write_text("가나다라마 바사아자차 " * 2000, encoding="utf-8")  # sentencepiece alone would skip such a line
    processor = load(quiet(source, output_dir=tmp_path, vocab_size=320))
    assert len(processor.encode("가나다라마 바사아자차")) <= 4


@pytest.mark.parametrize(
    ("content", "settings", "told"),
    [
        (None, {}, "cannot be read"),
        (b"", {}, "has no text"),
        (b" \n\n", {}, "has no text"),
        (b"\xff\xfe\xfa", {}, "not UTF-8"),
        (b"abc\n", {"vocab_size": 100}, "set --vocab-size to more than 2"),
        (b"abc\n", {"vocab_size": 0}, "vocabulary of 0 pieces"),
        (b"abc\n", {"vocab_size": 10**10}, "vocabulary of 10000000000 pieces is not possible"),
        (b"abc\n", {"character_coverage": 0.5}, "0.5 is not between"),
        (b"abc\n", {"model_type": "magic"}, "'magic' is not one of bpe, unigram"),
    ],
)
def test_bad_input_is_told_and_leaves_the_old_model(
    tmp_path: Path, content: bytes | None, settings: dict[str, object], told: str
) -> None:
    (tmp_path / "minigpt.model").write_bytes(b"old")
    source = tmp_path / "in.txt"
    if content is not None:
        source.write_bytes(content)
    with pytest.raises(TokenizerError) as caught:
        quiet(source, output_dir=tmp_path, **settings)
    assert told in str(caught.value)
    assert (tmp_path / "minigpt.model").read_bytes() == b"old"
    assert not list(tmp_path.glob("*.part"))


def test_load_refuses_what_is_not_one_of_ours(tmp_path: Path, corpus: Path, model: Path) -> None:
    with pytest.raises(TokenizerError, match=r"missing.model cannot be read"):
        load(tmp_path / "missing.model")
    (tmp_path / "torn.model").write_bytes(model.read_bytes()[:1000])
    with pytest.raises(TokenizerError, match=r"torn.model is no sentencepiece model"):
        load(tmp_path / "torn.model")
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus), model_prefix=str(tmp_path / "stock"), hard_vocab_limit=False, minloglevel=2
    )
    with pytest.raises(TokenizerError, match=r"stock.model begins with <unk> <s> </s>"):
        load(tmp_path / "stock.model")
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus),
        model_prefix=str(tmp_path / "painted"),
        bos_piece="\x1b[2J",
        eos_piece="x" * 1000,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    with pytest.raises(TokenizerError, match=r"painted.model begins with <unk> .\[2J x+ instead") as refused:
        load(tmp_path / "painted.model")
    assert str(refused.value).isprintable() and len(str(refused.value)) < len(str(tmp_path)) + 250


def test_command_line(tmp_path: Path, corpus: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tokenizer", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env={"PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True
        )

    failed = run()
    assert failed.returncode == 2
    assert failed.stderr.startswith("error: data/for-tokenizer-training/textonly.txt cannot be read")
    assert failed.stderr.count("\n") == 1
    done = run("--input", str(corpus), "--model-prefix", "m", "--vocab-size", "330", "--output-dir", "out")
    assert (done.returncode, done.stderr) == (0, "")
    assert load(tmp_path / "out/m.model").get_piece_size() == 330
    shown = run("--report", "--input", str(corpus), "--model-prefix", "m", "--output-dir", "out")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "exact round trip      3,000 of 3,000 texts" in shown.stdout
    failed = run("--report", "--output-dir", "out")
    assert failed.returncode == 2
    assert failed.stderr.startswith("error: tokenizer out/minigpt.model cannot be read")


def test_report_counts_what_a_tokenizer_does(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    processor = load(model)
    texts = ["오늘 저녁", "뷁", "밑줄 ▁ 은 빈칸이 된다", ""]
    source = write_jsonl(tmp_path / "valid.jsonl", texts)
    table = {line[:22].strip(): line[22:] for line in report(model, source).splitlines()[1:]}
    ids = [id for text in texts for id in processor.encode(text)]
    assert table["texts"] == "4"
    assert table["characters"] == str(sum(map(len, texts)))
    assert table["tokens"] == str(len(ids))
    assert table["tokens per character"] == f"{len(ids) / sum(map(len, texts)):.3f}"
    assert table["bytes per token"] == f"{sum(len(text.encode()) for text in texts) / len(ids):.2f}"
    assert table["byte tokens"] == f"{sum(map(processor.is_byte, ids)) / len(ids):.2%}"
    assert table["unknown tokens"] == "0"
    assert table["exact round trip"] == "3 of 4 texts; not line 3"
    assert table["pieces used"] == f"{len(set(ids))} of 340"
    learnt = {processor.id_to_piece(id) for id in range(4, 340) if not processor.is_byte(id)} - set(TAGS)
    assert len(table["longest pieces"].split("  ")[0]) == max(map(len, learnt))

    (tmp_path / "valid.txt").write_text("오늘 저녁\r\n\n뷁\n", encoding="utf-8")
    assert "2 of 2 texts" in report(model, tmp_path / "valid.txt")
    with source.open("a", encoding="utf-8") as file:
        file.write('{"tex')
    for bad, told in ((source, "line 5: every line must be"), (tmp_path / "none.jsonl", "name a file with --input")):
        with pytest.raises(TokenizerError, match=told):
            report(model, bad)


def test_real_reviews_round_trip_through_both_packages(tmp_path: Path) -> None:
    if not REVIEWS.exists():
        pytest.skip(f"{REVIEWS.name} is not beside this repository")
    from data.prepare import prepare

    with REVIEWS.open(encoding="utf-8") as file:
        raw_lines = [next(file) for _ in range(2000)]
        unseen = [next(file).rstrip("\n") for _ in range(10_000)]
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/reviews.txt").write_text("".join(raw_lines), encoding="utf-8")
    prepare(tmp_path / "raw", tmp_path, report=lambda line: None)
    source = tmp_path / "for-tokenizer-training/textonly.txt"
    processor = load(quiet(source, output_dir=tmp_path, vocab_size=4000))
    lines = [line.rstrip("\n") for line in raw_lines]
    for name in ("train.jsonl", "valid.jsonl"):
        jsonl = (tmp_path / "for-model-training" / name).read_text(encoding="utf-8")
        lines += [json.loads(line)["text"] for line in jsonl.splitlines()]
    encoded = processor.encode(lines)
    assert [processor.decode(ids) for ids in encoded] == lines
    assert not any(i < 4 for ids in encoded for i in ids)

    from transformers import AutoTokenizer

    encoded = processor.encode(unseen)
    assert processor.decode(encoded) == unseen
    assert AutoTokenizer.from_pretrained(tmp_path)(unseen)["input_ids"] == [[1, *ids] for ids in encoded]


def test_little_text_gets_a_vocabulary_that_a_model_can_learn(tmp_path: Path) -> None:
    source = tmp_path / "text.txt"
    source.write_text("가나다라마바사아자차 " * 9_000 + "\n", encoding="utf-8")
    assert fitting_vocab_size(source, 8000) == 99_000 // 25
    assert fitting_vocab_size(source, 1000) == 1000
    source.write_text("가나다라\n", encoding="utf-8")
    assert fitting_vocab_size(source, 8000) == 2000
