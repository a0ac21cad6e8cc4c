"""The model, where it is computed, and how it is measured."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from minigpt import END_OF_TEXT, IGNORED, PADDING, START, device
from minigpt.encoding import DatasetError
from minigpt.held_out import HeldOut
from minigpt.model import MiniGPT, mask_between_texts
from minigpt.settings import Settings
from tests.tiny import LINES, build_model, write_jsonl

VOCABULARY = 300


@pytest.fixture(scope="module")
def model() -> MiniGPT:
    return build_model(VOCABULARY)


def some_ids(rows: int, length: int) -> torch.Tensor:
    return torch.randint(4, VOCABULARY, (rows, length), generator=torch.Generator().manual_seed(1))


def test_a_model_of_shapes_alone_takes_no_memory() -> None:
    with torch.device("meta"):
        model = MiniGPT(vocab_size=300, d_model=1024, nhead=1, num_layers=1, seq_len=65_536)
    assert all(tensor.is_meta or tensor.numel() == 0 for tensor in (*model.parameters(), *model.buffers()))


def test_the_guides_size_is_23_million_parameters() -> None:
    with torch.device("meta"):
        model = MiniGPT.from_settings(Settings().model, 8000, 256)
    assert model.parameter_count() == 23_370_240


def test_names_and_logits_are_those_of_hugging_faces_llama(model: MiniGPT) -> None:
    transformers: Any = pytest.importorskip("transformers")
    llama = transformers.LlamaForCausalLM(transformers.LlamaConfig(**model.hugging_face_config())).eval()
    assert set(model.state_dict()) == {name for name, _ in llama.named_parameters()}
    assert set(model.state_dict()) == {name for name, _ in model.named_parameters()}
    llama.load_state_dict({**model.state_dict(), "lm_head.weight": model.model.embed_tokens.weight})
    ids = some_ids(2, 16)
    with torch.no_grad():
        torch.testing.assert_close(model(ids), llama(ids).logits, atol=1e-4, rtol=0)


def test_no_token_sees_a_later_one(model: MiniGPT) -> None:
    ids = some_ids(1, 12)
    changed = ids.clone()
    changed[0, 8] = 4 if ids[0, 8] != 4 else 5
    with torch.no_grad():
        before, after = model(ids), model(changed)
    torch.testing.assert_close(before[:, :8], after[:, :8])
    assert not torch.allclose(before[:, 8:], after[:, 8:])


def test_blocked_attention_hides_texts_from_each_other(model: MiniGPT) -> None:
    ids = some_ids(2, 16)
    ids[:, 6] = START
    changed = ids.clone()
    changed[:, :6] = some_ids(2, 20)[:, 14:]
    mask = mask_between_texts(ids)
    with torch.no_grad():
        before, after = model(ids, mask=mask), model(changed, mask=mask_between_texts(changed))
        alone, open_to_all = model(ids[:, 6:]), model(ids)
    assert torch.equal(before[:, 6:], after[:, 6:])
    torch.testing.assert_close(before[:, 6:], alone, atol=1e-5, rtol=1e-5)  # as if nothing stood before it
    torch.testing.assert_close(before[:, :6], open_to_all[:, :6], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(open_to_all[:, 6:], alone, atol=1e-3)
    later = ids.clone()
    later[:, 12] = 4
    with torch.no_grad():
        torch.testing.assert_close(model(later, mask=mask)[:, :12], before[:, :12])


def test_order_matters(model: MiniGPT) -> None:
    with torch.no_grad():
        one, other = model(torch.tensor([[7, 8, 9, 10]])), model(torch.tensor([[8, 7, 9, 10]]))
    assert not torch.allclose(one[0, -1], other[0, -1])


def test_input_longer_than_trained_on(model: MiniGPT) -> None:
    ids = some_ids(1, 40)  # seq_len is 16
    fresh = build_model(VOCABULARY)
    with torch.no_grad():
        torch.testing.assert_close(fresh(ids)[:, :16], model(ids[:, :16]), atol=1e-5, rtol=1e-5)
    assert set(fresh.state_dict()) == set(model.state_dict())


def test_loss_is_the_mean_over_labels_that_count(model: MiniGPT) -> None:
    ids, labels = some_ids(2, 9)[:, :-1], some_ids(2, 9)[:, 1:].clone()
    labels[0, 3:] = IGNORED
    with torch.no_grad():
        probabilities = model(ids).log_softmax(dim=-1)
        loss = model(ids, labels)
    counted = [-probabilities[b, t, labels[b, t]] for b in range(2) for t in range(8) if labels[b, t] != IGNORED]
    assert len(counted) == 11
    torch.testing.assert_close(loss, torch.stack(counted).mean())


def test_dropout_acts_in_training_only() -> None:
    model = MiniGPT(vocab_size=VOCABULARY, d_model=32, nhead=2, num_layers=1, dropout=0.5, seq_len=8)
    ids = some_ids(1, 8)
    assert not torch.equal(model.train()(ids), model(ids))
    assert torch.equal(model.eval()(ids), model(ids))


def test_learns_a_sequence_by_heart() -> None:
    torch.manual_seed(0)
    model = MiniGPT(vocab_size=VOCABULARY, d_model=32, nhead=2, num_layers=2, seq_len=16)
    ids = some_ids(2, 17)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    first = model(ids[:, :-1], ids[:, 1:]).item()
    assert first == pytest.approx(math.log(VOCABULARY), abs=0.1)
    for _ in range(60):
        loss = model(ids[:, :-1], ids[:, 1:])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert loss.item() < 0.1 * first


def test_autocast_gives_float32_logits_and_nearly_the_same_loss(model: MiniGPT) -> None:
    ids = some_ids(2, 17)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert model(ids).dtype == torch.float32
        rough = model(ids[:, :-1], ids[:, 1:])
    with torch.no_grad():
        torch.testing.assert_close(rough, model(ids[:, :-1], ids[:, 1:]), rtol=0.02, atol=0)


@pytest.mark.parametrize(("bfloat16_seconds", "choice"), [(0.2, torch.bfloat16), (0.9, None), (1.5, None)])
def test_cpu_takes_bfloat16_only_where_it_is_clearly_faster(
    monkeypatch: pytest.MonkeyPatch, bfloat16_seconds: float, choice: torch.dtype | None
) -> None:
    seconds = {torch.bfloat16: bfloat16_seconds, torch.float32: 1.0}
    monkeypatch.setattr(device, "matmul_seconds", seconds.__getitem__)
    threads = torch.get_num_threads()
    assert device.pick_autocast(torch.device("cpu")) == choice
    assert torch.get_num_threads() == threads


def test_real_measurement_gives_a_time() -> None:
    assert 0 < device.matmul_seconds(torch.float32, budget=0.001) < 10
    assert device.pick_device().type in {"cuda", "mps", "cpu"}


def test_bits_per_byte_of_a_model_that_knows_nothing(tmp_path: Path, processor: Any) -> None:
    vocab_size = processor.get_piece_size()
    model = build_model(vocab_size)
    model.model.norm.weight.data.zero_()  # all logits 0: every token is as likely as any other
    held_out = HeldOut.from_file(write_jsonl(tmp_path / "valid.jsonl", LINES), processor, seq_len=16)
    predicted = sum(len(processor.encode(line)) + 1 for line in LINES)  # and the end of each text
    loss, bits_per_byte = held_out.evaluate(model)
    assert loss == pytest.approx(math.log(vocab_size), rel=1e-5)
    text_bytes = sum(len(line.encode()) for line in LINES)
    assert bits_per_byte == pytest.approx(predicted * math.log2(vocab_size) / text_bytes, rel=1e-5)


def test_held_out_loss_is_the_models_own(tmp_path: Path, processor: Any) -> None:
    model = build_model(processor.get_piece_size()).train()
    held_out = HeldOut.from_file(write_jsonl(tmp_path / "valid.jsonl", [LINES[0]]), processor, seq_len=64)
    ids = torch.tensor([[START, *processor.encode(LINES[0]), END_OF_TEXT]])
    expected = model.eval()(ids[:, :-1], ids[:, 1:]).item()
    model.train()
    assert held_out.evaluate(model)[0] == pytest.approx(expected, rel=1e-5)
    assert model.training


def test_how_often_the_first_guess_is_right(tmp_path: Path, processor: Any) -> None:
    model = build_model(processor.get_piece_size()).train()
    held_out = HeldOut.from_file(write_jsonl(tmp_path / "valid.jsonl", LINES), processor, seq_len=16)
    rows = [model.eval()(row[None])[0].argmax(-1) for row in held_out.input_ids]
    model.train()
    right = sum(int((guessed == labels).sum()) for guessed, labels in zip(rows, held_out.labels))
    assert held_out.right_share(model) == pytest.approx(right / held_out.tokens)
    assert model.training
    nothing = HeldOut(held_out.input_ids, torch.full_like(held_out.labels, IGNORED), 1)
    assert nothing.right_share(model) is None


def test_held_out_stops_at_max_tokens(tmp_path: Path, processor: Any) -> None:
    path = write_jsonl(tmp_path / "valid.jsonl", LINES * 20)
    held_out = HeldOut.from_file(path, processor, seq_len=16, max_tokens=40)
    assert held_out.input_ids.shape == (3, 16)
    assert (held_out.input_ids == PADDING).sum() == 8
    loss, bits_per_byte = held_out.evaluate(build_model(processor.get_piece_size()))
    assert math.isfinite(loss) and math.isfinite(bits_per_byte)


def test_nothing_to_measure_on(tmp_path: Path, processor: Any) -> None:
    with pytest.raises(DatasetError, match=r"valid\.jsonl has no text"):
        HeldOut.from_file(write_jsonl(tmp_path / "valid.jsonl", [""]), processor, seq_len=16)
