"""No piece of a tokenizer holds what only one or two conversations say, however often they say it."""

from pathlib import Path

import pytest

from tokenizer import load, train
from tokenizer.rare_pieces import FEWEST_CONVERSATIONS

PLANTED = ("제갈공명", "봉천로구십구길", "hunterzwei", "비밀번호는당근마켓", "qwertzuiop")
SAID_BY_ALL = ("오늘 저녁에 뭐 먹을까", "나는 집에 가는 중", "ㅋㅋㅋㅋㅋ 진짜 웃겨")


def conversations(planted_in: int) -> list[list[str]]:
    """Sixty conversations of ten messages; so many of them have the planted words, in each of their messages."""
    return [
        [f"{SAID_BY_ALL[(n + m) % 3]} {' '.join(PLANTED) if n < planted_in else ''}".rstrip() for m in range(10)]
        for n in range(60)
    ]


def pieces(path: Path, text: str, model_type: str = "bpe") -> set[str]:
    source = path / "text.txt"
    source.write_text(text, encoding="utf-8")
    model = train(source, output_dir=path, vocab_size=1000, model_type=model_type, report=lambda line: None)
    processor = load(model)
    assert processor.decode(processor.encode(text)) == text, "what is left out is spelt"
    return {processor.id_to_piece(id).replace("▁", " ") for id in range(4, processor.get_piece_size())}


def told(pieces: set[str]) -> set[str]:
    """What the pieces tell of the planted words: two characters of them and more that nobody else says."""
    parts = {word[start : start + 2] for word in PLANTED for start in range(len(word) - 1)}
    said = " ".join(SAID_BY_ALL)
    return {piece for piece in pieces if any(part in piece and part not in said for part in parts)}


@pytest.mark.parametrize("model_type", ["bpe", "unigram"])
@pytest.mark.parametrize("planted_in", [1, 2])
def test_what_one_or_two_conversations_say_is_no_piece(tmp_path: Path, planted_in: int, model_type: str) -> None:
    text = "\n\n".join("\n".join(messages) for messages in conversations(planted_in))
    found = pieces(tmp_path, text, model_type)
    assert not told(found)
    assert " 먹을까" in found


def test_what_three_conversations_say_is(tmp_path: Path) -> None:
    text = "\n\n".join("\n".join(messages) for messages in conversations(FEWEST_CONVERSATIONS))
    assert len(told(pieces(tmp_path, text))) > len(PLANTED)


def test_where_conversations_are_not_known_lines_count(tmp_path: Path) -> None:
    lines = [" ".join(PLANTED * 5)] * 2 + [SAID_BY_ALL[n % 3] for n in range(90)]
    found = pieces(tmp_path, "\n".join(lines))
    assert not told(found)
    assert "ㅋㅋㅋㅋㅋ" in found
    assert told(pieces(tmp_path, "\n".join([lines[0], *lines])))


def test_a_text_of_a_blank_line_or_two_is_no_two_conversations(tmp_path: Path) -> None:
    lines = [SAID_BY_ALL[n % 3] for n in range(90)]
    assert "ㅋㅋㅋㅋㅋ" in pieces(tmp_path, "\n".join([*lines[:50], "", *lines[50:]]))


def test_one_line_leaves_characters(tmp_path: Path) -> None:
    found = pieces(tmp_path, "오늘 저녁에 뭐 먹을까 오늘 저녁에 뭐 먹을까")
    assert not any(len(piece) > 1 and "녁" in piece for piece in found)
