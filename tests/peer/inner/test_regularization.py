"""Regularization that grows with the passes over the text, and the noise that is part of it."""

from __future__ import annotations

from itertools import pairwise

import torch

from minigpt import END_OF_TEXT, PADDING, START
from peer.inner.regularization import EMBEDDING_DECAY, NOISE, WEIGHT_DECAY, Regularization, noised


def test_the_first_pass_is_free_and_from_then_on_it_grows_to_its_strongest() -> None:
    weakest = Regularization(0.0, WEIGHT_DECAY[0], EMBEDDING_DECAY[0])
    assert Regularization.after(0.0) == Regularization.after(1.0) == weakest
    course = [Regularization.after(passes) for passes in (1.0, 2.0, 3.0, 5.0)]
    for before, after in pairwise(course):
        assert before.noise < after.noise
        assert before.weight_decay < after.weight_decay
        assert before.embedding_decay < after.embedding_decay
    assert course[-1] == Regularization.after(1e9) == Regularization(NOISE, WEIGHT_DECAY[1], EMBEDDING_DECAY[1])


def test_noise_puts_other_tokens_of_the_batch_in_that_share_of_the_places() -> None:
    torch.manual_seed(0)
    ids = torch.randint(PADDING + 1, 4000, (16, 256))
    changed = noised(ids, 0.25)
    assert 0.22 < float((changed != ids).float().mean()) < 0.26
    assert set(changed.flatten().tolist()) <= set(ids.flatten().tolist())


def test_noise_leaves_where_texts_begin_and_end_and_what_is_padding() -> None:
    torch.manual_seed(0)
    ids = torch.tensor([START, 9, 8, 7, END_OF_TEXT, PADDING, PADDING, 5]).repeat(8, 16)
    changed = noised(ids, 0.9)
    assert torch.equal(changed[ids <= PADDING], ids[ids <= PADDING])
    assert (changed[ids > PADDING] > PADDING).all(), "no text is cut in two"
    assert not torch.equal(changed, ids)
    assert noised(ids, 0.0) is ids
    empty = torch.full((2, 4), PADDING)
    assert torch.equal(noised(empty, 0.9), empty)
