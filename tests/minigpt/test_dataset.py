"""From JSON Lines to batches."""

import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from minigpt import END_OF_TEXT, IGNORED, PADDING, START, encoding
from minigpt.dataset import Batches, GrowingDataset, TextDataset, collate_fn, shuffled
from minigpt.encoding import DatasetError, encode, piece_bytes
from tests.tiny import LINES, write_jsonl


class NoTokenizer:
    """Stands in where nothing may be encoded."""

    def get_piece_size(self) -> int:
        raise AssertionError("encoded again")


def write_ids(path: Path, ids: Any) -> Path:
    np.save(path, np.array(ids, dtype=np.uint16))
    return path


# -- encode


def test_every_text_is_wrapped_by_id(tmp_path: Path, processor: Any) -> None:
    texts = [*LINES, "<|endoftext|> <|start|>"]  # as somebody could type it
    seen: list[tuple[int, int]] = []
    jsonl = write_jsonl(tmp_path / "train.jsonl", texts)
    path = encode(jsonl, processor, tokenizer_sha256="a", progress=lambda done, all: seen.append((done, all)))
    ids = np.load(path)
    assert ids.dtype == np.uint16
    assert path.parent == tmp_path
    assert ids.tolist() == [id for text in texts for id in (START, *processor.encode(text), END_OF_TEXT)]
    assert (ids == END_OF_TEXT).sum() == len(texts)
    assert seen[-1] == (jsonl.stat().st_size, jsonl.stat().st_size)


def test_more_texts_than_are_encoded_at_once(tmp_path: Path, processor: Any) -> None:
    jsonl = write_jsonl(tmp_path / "train.jsonl", [f"{number}번" for number in range(3000)])
    ids = np.load(encode(jsonl, processor, tokenizer_sha256="a")).tolist()
    assert processor.decode(ids[ids.index(START, 1) :]) == "".join(f"{number}번" for number in range(1, 3000))


def test_large_vocabulary_gets_wider_numbers(tmp_path: Path) -> None:
    class Large:
        def get_piece_size(self) -> int:
            return 70_000

        def encode(self, texts: list[str]) -> list[list[int]]:
            return [[69_999] for _ in texts]

    path = encode(write_jsonl(tmp_path / "train.jsonl", ["a"]), Large(), tokenizer_sha256="a")
    assert np.load(path).tolist() == [START, 69_999, END_OF_TEXT]


def test_encodes_again_only_when_texts_or_tokenizer_changed(tmp_path: Path, processor: Any) -> None:
    jsonl = write_jsonl(tmp_path / "train.jsonl", LINES)
    first = encode(jsonl, processor, tokenizer_sha256="a")
    assert encode(jsonl, NoTokenizer(), tokenizer_sha256="a") == first
    with pytest.raises(AssertionError, match="encoded again"):
        encode(jsonl, NoTokenizer(), tokenizer_sha256="b")
    write_jsonl(jsonl, ["다른 글"])
    second = encode(jsonl, processor, tokenizer_sha256="a")
    assert np.load(second).tolist() == [START, *processor.encode("다른 글"), END_OF_TEXT]
    assert sorted(tmp_path.iterdir()) == sorted([jsonl, second])  # what is out of date is gone


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b'{"text": "cut o', "not valid JSON"),
        (b'{"text": "\xff\xfe"}', "not valid JSON"),
        (b'{"Text": "a"}', 'no "text"'),
        (b'{"text": 5}', 'no "text"'),
        (b'["text"]', 'no "text"'),
    ],
)
def test_broken_line_is_named_and_older_ids_stay(tmp_path: Path, processor: Any, line: bytes, complaint: str) -> None:
    jsonl = write_jsonl(tmp_path / "train.jsonl", LINES)
    good = encode(jsonl, processor, tokenizer_sha256="a")
    with jsonl.open("ab") as file:
        file.write(b"\n" + line + b"\n")
    for read in (
        lambda: encode(jsonl, processor, tokenizer_sha256="a"),
        lambda: TextDataset.padded(jsonl, processor, 8, 0),
    ):
        with pytest.raises(DatasetError) as caught:
            read()
        assert str(caught.value).startswith(f"{jsonl} line {len(LINES) + 2}: {complaint}")
        assert "\n" not in str(caught.value)
    assert sorted(tmp_path.iterdir()) == sorted([jsonl, good])


def test_no_file_and_no_text(tmp_path: Path, processor: Any) -> None:
    with pytest.raises(DatasetError, match=r"none\.jsonl cannot be read: No such file"):
        encode(tmp_path / "none.jsonl", processor, tokenizer_sha256="a")
    (tmp_path / "train.jsonl").write_text("\n\n")
    with pytest.raises(DatasetError, match=r"train\.jsonl has no text"):
        encode(tmp_path / "train.jsonl", processor, tokenizer_sha256="a")
    with pytest.raises(DatasetError, match=r"train\.jsonl has no text"):
        TextDataset.padded(tmp_path / "train.jsonl", processor, 8, 0)


def test_lone_surrogate_is_no_reason_to_stop(tmp_path: Path, processor: Any) -> None:
    (tmp_path / "train.jsonl").write_text('{"text": "\\ud83d 뭐"}\n')
    ids = np.load(encode(tmp_path / "train.jsonl", processor, tokenizer_sha256="a")).tolist()
    assert processor.decode(ids) == "? 뭐"


def test_full_disk_leaves_nothing_half_written(tmp_path: Path, processor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    jsonl = write_jsonl(tmp_path / "train.jsonl", LINES)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DatasetError, match="cannot be written: No space left on device"):
        encode(jsonl, processor, tokenizer_sha256="a")
    assert list(tmp_path.iterdir()) == [jsonl]


class Interrupting:
    """The tokenizer, until its user has had enough."""

    def __init__(self, processor: Any, texts: int) -> None:
        self.processor, self.left = processor, texts

    def get_piece_size(self) -> int:
        return self.processor.get_piece_size()

    def encode(self, texts: list[str]) -> list[list[int]]:
        if self.left <= 0:
            raise KeyboardInterrupt
        self.left -= len(texts)
        return self.processor.encode(texts)


@pytest.fixture
def small_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "TEXTS_AT_ONCE", 10)
    monkeypatch.setattr(encoding, "COMMIT_BYTES", 1000)


def interrupted(jsonl: Path, processor: Any, texts: int) -> Interrupting:
    tokenizer = Interrupting(processor, texts)
    with pytest.raises(KeyboardInterrupt):
        encode(jsonl, tokenizer, tokenizer_sha256="a")
    return tokenizer


def test_an_interrupted_encoding_goes_on_from_where_it_was(tmp_path: Path, processor: Any, small_commits: None) -> None:
    texts = [f"{number}번 {line}" for number, line in enumerate(LINES * 50)]
    whole = np.load(encode(write_jsonl(tmp_path / "whole.jsonl", texts), processor, tokenizer_sha256="a")).tolist()
    jsonl = write_jsonl(tmp_path / "train.jsonl", texts)
    interrupted(jsonl, processor, 200)
    interrupted(jsonl, processor, 100)
    rest = Interrupting(processor, len(texts))
    assert np.load(encode(jsonl, rest, tokenizer_sha256="a")).tolist() == whole
    assert len(texts) - rest.left <= 500 - 280  # at most a commit was done twice
    assert len(list(tmp_path.iterdir())) == 4  # two of each


def test_what_cannot_be_gone_on_from_is_done_again(tmp_path: Path, processor: Any, small_commits: None) -> None:
    texts = LINES * 50
    jsonl = write_jsonl(tmp_path / "train.jsonl", texts)
    whole = [id for ids in processor.encode(texts) for id in (START, *ids, END_OF_TEXT)]

    def damaged(harm: Callable[[Path, Path], object]) -> int:
        """Texts encoded after an interruption and some harm to what is on the disk."""
        interrupted(jsonl, processor, 200)
        (part,), (note,) = tmp_path.glob("*.part"), tmp_path.glob("*.done")
        harm(part, note)
        rest = Interrupting(processor, len(texts))
        path = encode(jsonl, rest, tokenizer_sha256="a")
        assert np.load(path).tolist() == whole
        path.unlink()
        return len(texts) - rest.left

    def flip(part: Path, note: Path) -> None:
        content = bytearray(part.read_bytes())
        content[200] ^= 1
        part.write_bytes(content)

    assert damaged(lambda part, note: None) < len(texts)
    assert damaged(flip) == len(texts)
    assert damaged(lambda part, note: os.truncate(part, 300)) == len(texts)
    assert damaged(lambda part, note: note.write_text("[1, 2")) == len(texts)
    assert damaged(lambda part, note: note.write_text('[1, 2, 3, "4"]')) == len(texts)
    assert damaged(lambda part, note: note.unlink()) == len(texts)

    interrupted(jsonl, processor, 200)
    write_jsonl(jsonl, ["다른 글"])
    path = encode(jsonl, processor, tokenizer_sha256="a")
    assert np.load(path).tolist() == [START, *processor.encode("다른 글"), END_OF_TEXT]
    assert sorted(tmp_path.iterdir()) == sorted([jsonl, path])


def test_line_numbers_are_right_after_an_interruption(tmp_path: Path, processor: Any, small_commits: None) -> None:
    jsonl = write_jsonl(tmp_path / "train.jsonl", LINES * 50)
    with jsonl.open("a") as file:
        file.write("\nnonsense\n")
    interrupted(jsonl, processor, 200)
    with pytest.raises(DatasetError, match=r"train\.jsonl line 502: not valid JSON"):
        encode(jsonl, processor, tokenizer_sha256="a")
    assert list(tmp_path.iterdir()) == [jsonl]


def test_a_killed_encoding_goes_on_and_two_at_once_do_it_once(tmp_path: Path, tokenizer_model: Path) -> None:
    jsonl = write_jsonl(tmp_path / "train.jsonl", [f"{number} {LINES[number % 10]}" for number in range(5000)])
    script = (
        "import sys, time, tokenizer; from pathlib import Path; from minigpt import encoding\n"
        "encoding.COMMIT_BYTES = 10_000; encoding.TEXTS_AT_ONCE = 100\n"
        "def told(done, total):\n    print(done, flush=True); time.sleep(float(sys.argv[3]))\n"
        "path = encoding.encode(Path(sys.argv[1]), tokenizer.load(sys.argv[2]), tokenizer_sha256='a', progress=told)\n"
        "print(path, flush=True)"
    )

    def start(pause: float) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", script, str(jsonl), str(tokenizer_model), str(pause)]
        return subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True)

    killed = start(0.01)
    assert killed.stdout is not None
    reached = [int(next(killed.stdout)) for _ in range(10)][-1]
    killed.kill()
    killed.communicate()
    both = [start(0.0), start(0.0)]
    told = [process.communicate(timeout=60)[0].split() for process in both]
    assert told[0][-1] == told[1][-1]
    ids = np.load(told[0][-1])
    assert (ids == START).sum() == 5000
    began = [int(lines[0]) for lines in told if len(lines) > 1]  # one that comes late finds it done, and tells nothing
    assert max(began) > reached - 25_000  # not from the start


def test_damaged_ids_are_refused(tmp_path: Path) -> None:
    path = write_ids(tmp_path / "train.ids-0.npy", range(1000))
    os.truncate(path, 500)
    with pytest.raises(DatasetError, match=r"train\.ids-0\.npy cannot be read .* delete it"):
        TextDataset.packed(path, 8, 0)


def test_bytes_of_the_tokens_are_the_bytes_of_the_text(processor: Any) -> None:
    for line in LINES:
        assert b"".join(piece_bytes(processor, id) for id in processor.encode(line)) == line.encode()
    assert [piece_bytes(processor, id) for id in range(4)] == [b""] * 4


# -- packed


def epoch_of(dataset: TextDataset, number: int) -> list[list[int]]:
    """The input_ids of one epoch."""
    rows = islice(Batches(dataset, 1, position=number * len(dataset)), len(dataset))
    return [input_ids[0].tolist() for input_ids, _ in rows]


@pytest.mark.parametrize("count", [1, 2, 3, 10, 1000, 1024, 1025])
def test_a_shuffled_order_has_everything_once(count: int) -> None:
    order = [shuffled(index, count, b"key") for index in range(count)]
    assert sorted(order) == list(range(count))
    if count >= 1000:
        assert order != [shuffled(index, count, b"another") for index in range(count)]
        away = [abs(there - index) for index, there in enumerate(order)]
        assert 0.3 < sum(away) / count**2 < 0.37  # a third of the way, as between any two places
        steps = [(second - first) % count for first, second in pairwise(order)]
        assert len(set(steps)) > 0.55 * count  # 0.63 of all differences turn up in a random order


def test_an_order_of_twenty_million_costs_neither_time_nor_memory() -> None:
    started = time.process_time()
    places = {shuffled(index, 20_000_000, b"key") for index in range(20_000_000 - 1000, 20_000_000)}
    assert len(places) == 1000 and max(places) < 20_000_000
    assert time.process_time() - started < 1  # 0.02 s


def test_labels_are_the_ids_one_later(tmp_path: Path) -> None:
    dataset = TextDataset.packed(write_ids(tmp_path / "ids.npy", range(100)), seq_len=8, seed=0)
    assert len(dataset) == 12
    for input_ids, labels in islice(Batches(dataset, 3), 10):
        assert input_ids.shape == labels.shape == (3, 8)
        assert input_ids.dtype == labels.dtype == torch.int64
        assert torch.equal((input_ids + 1) % 100, labels)


def test_an_epoch_sees_every_token_once(tmp_path: Path) -> None:
    dataset = TextDataset.packed(write_ids(tmp_path / "ids.npy", range(96)), seq_len=8, seed=0)
    for epoch in range(3):
        assert sorted(id for row in epoch_of(dataset, epoch) for id in row) == list(range(96))


def test_epochs_are_cut_differently_and_a_seed_repeats_them(tmp_path: Path) -> None:
    path = write_ids(tmp_path / "ids.npy", range(960))
    dataset = TextDataset.packed(path, seq_len=8, seed=1)
    first, second = epoch_of(dataset, 0), epoch_of(dataset, 1)
    assert {row[0] % 8 for row in first} != {row[0] % 8 for row in second}  # another place to begin
    assert [row[0] for row in first] != sorted(row[0] for row in first)  # and no order
    assert epoch_of(TextDataset.packed(path, seq_len=8, seed=1), 1) == second
    assert epoch_of(TextDataset.packed(path, seq_len=8, seed=2), 0) != first


def test_fewer_ids_than_one_sequence_go_round(tmp_path: Path) -> None:
    dataset = TextDataset.packed(write_ids(tmp_path / "ids.npy", range(5)), seq_len=12, seed=0)
    assert len(dataset) == 1
    input_ids, labels = next(Batches(dataset, 4))
    assert input_ids.shape == (4, 12)
    assert torch.equal((input_ids + 1) % 5, labels)


def test_whoever_knows_the_position_goes_on_whatever_the_batch_size(tmp_path: Path) -> None:
    path = write_ids(tmp_path / "ids.npy", range(960))
    whole = [row.tolist() for batch, _ in islice(Batches(TextDataset.packed(path, 8, 1), 1), 200) for row in batch]
    before = Batches(TextDataset.packed(path, 8, 1), 4)
    rows = [row.tolist() for batch, _ in islice(before, 7) for row in batch]
    assert before.position == 28
    after = Batches(TextDataset.packed(path, 8, 1), 3, before.position)
    rows += [row.tolist() for batch, _ in islice(after, 50) for row in batch]
    assert rows == whole[:178]


def test_batches_are_as_large_as_was_last_said(tmp_path: Path) -> None:
    batches = Batches(TextDataset.packed(write_ids(tmp_path / "ids.npy", range(100)), 8, 1), 4)
    assert len(next(batches)[0]) == 4
    batches.resize(2)
    assert (len(next(batches)[0]), batches.batch_size, batches.position) == (2, 2, 6)


def test_batches_are_shortened_to_what_is_left(tmp_path: Path) -> None:
    batches = Batches(TextDataset.packed(write_ids(tmp_path / "ids.npy", range(100)), 8, 1), 4)
    sizes = []
    for left in (12, 3, 0, 100):
        batches.shorten(left)
        sizes.append(len(next(batches)[0]))
    assert (sizes, batches.position) == ([4, 3, 1, 4], 12)


def test_ten_gigabytes_of_ids_are_open_at_once(tmp_path: Path) -> None:
    path = tmp_path / "ids.npy"
    count = 5 * 10**9
    np.lib.format.open_memmap(path, "w+", np.uint16, (count,)).flush()  # a hole: it takes no room on the disk
    script = (
        "import resource, sys; from itertools import islice; from pathlib import Path\n"
        "from minigpt.dataset import Batches, TextDataset\n"
        "resident = lambda: int(open('/proc/self/statm').read().split()[1]) * resource.getpagesize()\n"
        "before = resident()\n"
        "dataset = TextDataset.packed(Path(sys.argv[1]), 256, 0)\n"
        "list(islice(Batches(dataset, 4, len(dataset) - 2), 25))\n"
        "print(len(dataset), resident() - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, path], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    sequences, grown = map(int, done.stdout.split())
    assert sequences == count // 256
    assert grown < 50e6, "pages that were read count"


# -- padded


def in_order(folder: Path, texts: list[str], tokenizer: Any, seq_len: int) -> list[np.ndarray]:
    """The sequences of some texts, in the order of the texts."""
    jsonl = write_jsonl(folder / "train.jsonl", texts)
    dataset = TextDataset.padded(jsonl, tokenizer, seq_len, seed=0)
    return [dataset.rows.row(place, b"") for place in range(len(dataset))]


def test_padding_is_left_out_of_the_loss(tmp_path: Path, processor: Any) -> None:
    texts = ["밥 먹자", "생일 축하해!! 진짜 진짜 축하해"]
    input_ids, labels = collate_fn(in_order(tmp_path, texts, processor, seq_len=64))
    long, short = (processor.encode(text) for text in reversed(texts))
    assert input_ids.shape == labels.shape == (2, len(long) + 1)
    padding = len(long) - len(short)
    assert input_ids.tolist() == [[START, *short, *[PADDING] * padding], [START, *long]]
    assert labels.tolist() == [[*short, END_OF_TEXT, *[IGNORED] * padding], [*long, END_OF_TEXT]]


def test_long_text_is_cut_and_empty_text_is_a_sequence(tmp_path: Path, processor: Any) -> None:
    input_ids, labels = collate_fn(in_order(tmp_path, [LINES[2], ""], processor, seq_len=8))
    assert input_ids.shape == (2, 8)
    assert labels[0].tolist() == processor.encode(LINES[2])[:8]
    assert (int(input_ids[1, 0]), int(labels[1, 0])) == (START, END_OF_TEXT)
    assert labels[1, 1:].tolist() == [IGNORED] * 7


def test_padded_batches_go_through_all_texts_every_epoch(tmp_path: Path, processor: Any) -> None:
    dataset = TextDataset.padded(write_jsonl(tmp_path / "train.jsonl", LINES), processor, seq_len=256, seed=0)
    assert len(dataset) == len(LINES)
    texts = [processor.decode(input_ids[0].tolist()) for input_ids, _ in islice(Batches(dataset, 1), 2 * len(LINES))]
    first, second = texts[: len(LINES)], texts[len(LINES) :]
    assert sorted(first) == sorted(second) == sorted(LINES)
    assert first != second


# -- the same for ever


def test_a_number_stands_for_the_same_sequence_as_in_earlier_versions(tmp_path: Path) -> None:
    """The numbers are those of commit 2332cbf: a checkpoint's position.json keeps its meaning."""

    class Letters:
        def encode(self, text: str) -> list[int]:
            return [ord(letter) for letter in text]

    packed = TextDataset.packed(write_ids(tmp_path / "ids.npy", range(50)), 8, seed=7)
    padded = TextDataset.padded(
        write_jsonl(tmp_path / "train.jsonl", ["a", "bc", "def", "", "ghijkl"]), Letters(), 4, seed=7
    )
    assert (packed.name, padded.name) == ("ids.npy", "train.jsonl, 77 bytes")
    assert [input_ids[:, 0].tolist() for input_ids, _ in islice(Batches(packed, 4, 3), 4)] == [
        [43, 1, 33, 24],
        [32, 48, 16, 40],
        [8, 13, 21, 31],
        [39, 5, 47, 23],
    ]
    (first, first_labels), (second, _) = islice(Batches(padded, 3, 1), 2)
    assert first.tolist() == [[1, 100, 101, 102], [1, 103, 104, 105], [1, 97, 3, 3]]
    assert first_labels.tolist() == [[100, 101, 102, 2], [103, 104, 105, 106], [97, 2, -100, -100]]
    assert second.tolist() == [[1, 98, 99, 3], [1, 100, 101, 102], [1, 3, 3, 3]]
    np.arange(50, dtype=np.uint16).tofile(tmp_path / "bare.ids")
    growing = GrowingDataset(tmp_path / "bare.ids", np.dtype("<u2"), 8, seed=7)
    growing.grow(50)
    assert growing.sequence(3).tolist() == packed.sequence(3).tolist()
