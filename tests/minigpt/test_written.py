"""The measures of what a model writes."""

from typing import Any

import pytest

from minigpt.written import MOST_TOKENS, Passage, Search, judge, repeated_share, take_passages, words_in, write_passages
from tests.minigpt.parrot import silent_model


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("밥은 먹었어?  집에서…먹었지!", ["밥은", "먹었어", "집에서", "먹었지"]),
        ("좋아ㅋㅋㅋㅋ ㅠㅠ ㅋㅋ", ["좋아"]),
        ("3시에 10,000원 2024년까지", ["시에", "원", "년까지"]),
        ("<NAME>야 <P1>: <URL> 봐", ["야", "봐"]),
        ("The QUICK_fox", ["the", "quick", "fox"]),
        ("\u1100\u1161\u11bc", ["강"]),  # as macOS spells it
        ("👍 !! 12 \n", []),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert words_in(text) == words


def passage(text: str, ids: list[int] | None = None, is_whole: bool = True) -> Passage:
    return Passage(ids or [], text, is_whole)


def test_what_may_be_cut_off_is_not_judged() -> None:
    text = "오늘 저녁에 우리 뭐 먹을까\n나는 밥 먹고 싶은데 어디 갈"
    assert passage(text).lines() == ["오늘 저녁에 우리 뭐 먹을까", "나는 밥 먹고 싶은데 어디 갈"]
    assert passage(text, is_whole=False).lines() == ["오늘 저녁에 우리 뭐 먹을까"]
    assert passage(text).words()[-2:] == ["어디", "갈"]
    assert passage(text, is_whole=False).words()[-2:] == ["싶은데", "어디"]


def test_lines_that_everybody_says_are_not_among_those_that_may_be_copied() -> None:
    assert passage("밥 먹었어?\nㅋㅋ ㅋㅋ ㅋㅋ ㅋㅋ ㅋㅋ\n나는 밥 먹고 왔어").lines() == []


def test_a_row_says_again_what_came_before_in_it() -> None:
    assert repeated_share([1, 2, 3]) is None
    assert repeated_share([1, 2, 3, 4, 5]) == 0.0
    assert repeated_share([7] * 8) == 1 - 1 / 5
    assert repeated_share([1, 2, 3, 4, 1, 2, 3, 4]) == 1 - 4 / 5


def test_judgement() -> None:
    passages = [
        passage("밥 먹자 밥 먹자 그래 좋아", [7] * 8),
        passage("밥은 내가 살게 오늘은 꼭", [1, 2, 3, 4]),
        passage("밥"),
    ]
    search = Search()
    search.want(passages)
    search.read("그래, 밥은!\n밥은 내가 살게, 오늘은 꼭!!\n저기 밥 먹자 밥 먹자 그래 좋아")
    assert search.found_lines == {"밥은 내가 살게 오늘은 꼭"}, "a line is copied as a whole"
    quality = judge(passages, 100, search.found_words, search.found_lines)
    assert quality.words == 12 and quality.exist == 1.0
    assert quality.repetition == pytest.approx((1 - 1 / 5 + 0) / 2)
    assert quality.distinct == pytest.approx(8 / 9), "a pair lies within a text; one of nine comes twice"
    assert (quality.lines, quality.copied) == (2, 0.5)
    assert judge(passages, 2, {"밥"}, set()).exist == 0.5
    assert judge(passages, 2, None, None).exist is judge(passages, 2, None, None).copied is None
    nothing = judge([], 2, set(), set())
    assert nothing.exist is nothing.repetition is nothing.distinct is nothing.copied is None


def test_held_out_texts_are_cut_as_written_ones(processor: Any) -> None:
    texts = ["밥 먹자", "오늘 학교에서 만나 " * MOST_TOKENS, "밥", "밥"]
    whole, cut = take_passages(texts, processor, 10, seq_len=256)
    assert whole.is_whole and whole.text == "밥 먹자"
    assert len(take_passages(texts, processor, 10, seq_len=16)[1].ids) == 16, "no longer than the model looks back"
    assert not cut.is_whole and len(cut.ids) == MOST_TOKENS and texts[1].startswith(cut.text)


def test_a_model_that_writes_no_words_ends(monkeypatch: pytest.MonkeyPatch, processor: Any) -> None:
    monkeypatch.setattr("minigpt.written.generate_texts", lambda model, seeds, **options: [[] for _ in seeds])
    told: list[int] = []
    passages = write_passages(silent_model(), processor, 3, temperature=0.8, seed=0, progress=told.append)
    assert {part.text for part in passages} == {""} and told == [0]
