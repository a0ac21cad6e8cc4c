"""The computing of an answer: token after token, guessed ahead, drawn at random, and shown as text."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from minigpt import END_OF_TEXT, PADDING, START, UNKNOWN
from minigpt.inference.decoding import Decoding, InferenceModel
from minigpt.inference.sampling import Sampling, generate, generate_texts, sample, stream_text, what_followed
from minigpt.model import MiniGPT
from tests.minigpt.parrot import Parrot, silent_model
from tests.tiny import LINES, build_model


@pytest.fixture(scope="module")
def model(processor: Any) -> MiniGPT:
    """Its weights are as exact in half precision, in which answers may be computed."""
    return build_model(processor.get_piece_size()).half().float()


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


@pytest.mark.parametrize("engine", [torch.backends.quantized.engine, "qnnpack"])
def test_texts_side_by_side_are_those_that_one_after_the_other_would_be(
    model: MiniGPT, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    monkeypatch.setattr(torch.backends.quantized, "engine", engine)
    asked, seeds = InferenceModel(model), range(40, 72)
    alone = [list(generate(asked, [START], max_new_tokens=16, sampling=Sampling(0.5, seed=seed))) for seed in seeds]
    assert generate_texts(asked, seeds, max_new_tokens=16, temperature=0.5) == alone
    lengths = {len(ids) for ids in alone}
    assert max(lengths) == 16 and len(lengths) > 1, "some end before others"


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
