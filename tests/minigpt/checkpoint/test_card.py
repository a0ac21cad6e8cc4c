"""A checkpoint's model card."""

import json
from pathlib import Path
from typing import Any

import pytest

import tokenizer
from minigpt.checkpoint import read
from tests.tiny import build_model, save_model, train_tokenizer


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints"


def save_after(root: Path, lines: list[bytes], round: int = 3) -> str:
    """The card of a checkpoint that is written when metrics.jsonl has these lines."""
    tokenizer_model = train_tokenizer(root.parent)
    (root / "cellmind").mkdir(parents=True)
    (root / "cellmind" / "metrics.jsonl").write_bytes(b"\n".join(lines))
    model = build_model(tokenizer.load(tokenizer_model).get_piece_size())
    return (save_model(root, tokenizer_model, model, round=round) / "README.md").read_text(encoding="utf-8")


def line(round: int, run_id: str = "cellmind-0123456789ab", **entries: Any) -> bytes:
    return json.dumps({"round": round, "run_id": run_id, "loss": 5.0, "anchor": "ab" * 32, **entries}).encode()


def test_card_says_what_the_model_is_and_how_good(root: Path) -> None:
    card = save_after(
        root,
        [
            line(2, "cellmind-ba9876543210", peers=["a", "b", "c"], valid_loss=2.0, valid_bits_per_byte=1.0),
            line(1, peers=["desk"], valid_loss=6.0, valid_bits_per_byte=2.5),
            line(2, peers=["desk", "minji-phone"]),
            b'{"round": 2, "peers": ["desk", "minji-ph',
            line(3, peers=["desk"], valid_loss=5.5, valid_bits_per_byte=2.25),
            line(
                4, peers=["desk", "a", "b"], valid_loss=1.0, valid_bits_per_byte=1.0
            ),  # it went on from an older state
        ],
    )
    parameters = read(root / "latest").build_model().parameter_count()
    for part in (
        "# cellmind, round 3\n",
        "| run | cellmind-0123456789ab |\n",
        f"| parameters | {parameters:,} in 2 layers of width 32 |\n",
        "| trained on | 768 sequences of 16 tokens: 12,288 tokens |\n",
        "| devices | at most 2 in a round |\n",
        "|--:|--:|--:|\n| 1 | 6.000 | 2.500 |\n| 3 | 5.500 | 2.250 |\n\n",
        "python -m minigpt.generate --checkpoint FOLDER",
        "python -m minigpt.export --checkpoint FOLDER --to gguf",
        "AutoModelForCausalLM.from_pretrained",
    ):
        assert part in card
    assert "desk" not in card and "minji" not in card and str(root) not in card


def test_card_says_how_many_lines_were_known_by_heart(root: Path) -> None:
    lines = [line(1, memorized=0, memorized_held_out=None), line(2, memorized=30, memorized_held_out=10), line(3)]
    card = save_after(root, lines)
    told = "| completed word for word | 30 of 1,000 lines that it was trained on, and of held-out lines 10 (round 2) |"
    assert f"{told}\n\n## How to use it" in card


def test_table_stays_short_and_has_the_newest(root: Path) -> None:
    lines = [line(number, valid_loss=6.0, valid_bits_per_byte=2.0) for number in range(1, 102)]
    card = save_after(root, lines, round=101)
    rows = [row for row in card.splitlines() if row.endswith("| 6.000 | 2.000 |")]
    assert 8 <= len(rows) <= 10 and rows[-1].startswith("| 101 |")


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [b"\xff\x00", b"[]", b"17", b"[" * 100_000, b'{"round": "3"}'],
        [line(1, peers=3, valid_loss=None, valid_bits_per_byte="2")],
    ],
)
def test_what_is_not_known_is_left_out(root: Path, lines: list[bytes]) -> None:
    card = save_after(root, lines)
    assert "| devices" not in card and "How good it is" not in card
    assert "12,288 tokens |\n\n## How to use it\n" in card


def test_card_may_be_edited(root: Path) -> None:
    save_after(root, [])
    card = root / "latest" / "README.md"
    card.write_text("Ours, for the class of 2024")
    read(root / "latest").parameters()
    card.unlink()
    read(root / "latest").parameters()
