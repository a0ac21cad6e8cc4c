"""Two, four and eight bits a number: what they keep, what they refuse."""

import pytest
import torch

from peer.state.codec import BLOCK, PART, bits_of, decode, decoded_blocks, encode, is_valid, payload_bytes


def roundtrip(numbers: torch.Tensor, bits: int) -> torch.Tensor:
    payload = torch.zeros(payload_bytes(len(numbers), bits), dtype=torch.uint8)
    encode(numbers, bits, payload)
    result = torch.full_like(numbers, float("nan"))
    decode(payload, bits, result)
    return result


@pytest.mark.parametrize(("bits", "lost"), [(2, 0.1188), (4, 0.0115), (8, 6.1e-5)])
def test_normal_numbers_lose_what_theory_says(bits: int, lost: float) -> None:
    numbers = torch.randn(2 * PART, generator=torch.Generator().manual_seed(0)) * 3e-4
    error = (roundtrip(numbers, bits) - numbers).square().mean() / numbers.square().mean()
    assert float(error) == pytest.approx(lost, rel=0.03)


def test_blocks_of_different_size_do_not_disturb_each_other() -> None:
    numbers = torch.randn(PART, generator=torch.Generator().manual_seed(0))
    numbers[:BLOCK] *= 1e-4
    error = roundtrip(numbers, 2)[:BLOCK] - numbers[:BLOCK]
    assert float(error.square().mean() / numbers[:BLOCK].square().mean()) < 0.15


def test_two_bits_are_two_bits() -> None:
    assert payload_bytes(PART, 2) == PART // 4 + 2 * PART // BLOCK
    assert payload_bytes(PART, 4) == PART // 2 + 2 * PART // BLOCK


def test_a_payload_s_size_says_its_bits() -> None:
    assert [bits_of(payload_bytes(3 * PART, bits), 3 * PART) for bits in (2, 4, 8)] == [2, 4, 8]
    assert bits_of(payload_bytes(3 * PART, 2) + 1, 3 * PART) is None


def test_nothing_stays_nearly_nothing() -> None:
    assert float(roundtrip(torch.zeros(PART), 2).abs().max()) < 1e-6


def test_what_is_not_said_can_be_said_later() -> None:
    """Error feedback: the sum of what was said approaches the sum of what was meant."""
    meant = torch.randn(PART, generator=torch.Generator().manual_seed(0))
    left, said = torch.zeros(PART), torch.zeros(PART)
    for _ in range(20):
        left += meant
        now = roundtrip(left, 2)
        said, left = said + now, left - now
    error = (said - 20 * meant).square().mean().sqrt() / 20
    assert float(error) < 0.1, "a single time it is 0.34"


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_some_blocks_of_a_part_are_what_they_are_in_all_of_it(bits: int) -> None:
    numbers = torch.randn(PART, generator=torch.Generator().manual_seed(0))
    payload = torch.zeros(payload_bytes(PART, bits), dtype=torch.uint8)
    encode(numbers, bits, payload)
    blocks = torch.tensor([0, 63, 64, 127, 128, 200, 255])
    assert torch.equal(decoded_blocks(payload, bits, blocks), roundtrip(numbers, bits).view(-1, BLOCK)[blocks])


def test_impossible_payloads_are_refused() -> None:
    payload = torch.zeros(payload_bytes(PART, 2), dtype=torch.uint8)
    encode(torch.randn(PART, generator=torch.Generator().manual_seed(0)), 2, payload)
    assert is_valid(payload, 2, 2.0)
    assert not is_valid(payload, 2, 0.5), "too large"
    assert not is_valid(payload[:-1], 2, 2.0), "cut off"
    for impossible in (float("nan"), float("inf"), -1.0):
        broken = payload.clone()
        broken[:2] = torch.tensor([impossible], dtype=torch.float16).view(torch.uint8)
        assert not is_valid(broken, 2, 2.0)
