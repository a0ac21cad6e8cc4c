"""Knocking: who sits between two devices has one guess a knock, and there are few knocks."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from peer.swarm.knocking import (
    LIFE_SECONDS,
    MOST,
    MOST_OF_ONE,
    NONCE_BYTES,
    NUMBERS,
    SHOW_SECONDS,
    KnockRefused,
    Knocks,
    Waiting,
    commitment,
    knock_name,
    meant_by,
    number_of,
)
from peer.wire import parse_value
from peer.wire_knocking import KnockRequest

NONCE, OTHER = "ab" * NONCE_BYTES, "cd" * NONCE_BYTES


def knock(peer: str = "K", host: str = "10.0.0.9", began: float = 0.0, nonce: str = NONCE) -> Waiting:
    return Waiting(peer, "phone", host, began, commitment(nonce), OTHER)


def test_both_sides_have_the_same_number_and_nobody_else_has_it() -> None:
    knocks = Knocks().begin(knock()).show("K", NONCE, "M", now=1.0)
    [waiting] = knocks.waiting.values()
    assert waiting.number == number_of(NONCE, OTHER, "K", "M")
    assert len(waiting.number) == 4 and waiting.number.isdecimal()
    assert len({number_of(NONCE, OTHER, *ids) for ids in (("K", "M"), ("X", "M"), ("K", "X"), ("M", "K"))}) == 4


def test_a_number_is_good_for_two_minutes_and_for_one_knock() -> None:
    knocks = Knocks().begin(knock())
    assert not knocks.at(SHOW_SECONDS).waiting, "it did not show its nonce in time"
    shown = knocks.show("K", NONCE, "M", now=1.0)
    assert shown.at(LIFE_SECONDS - 1).waiting and not shown.at(LIFE_SECONDS).waiting
    for again, problem in ((shown, "has not knocked"), (shown.without("K"), "has not knocked"), (Knocks(), "has not")):
        with pytest.raises(KnockRefused, match=problem):
            again.show("K", NONCE, "M", now=2.0)
    with pytest.raises(KnockRefused, match="another nonce"):
        knocks.show("K", OTHER, "M", now=1.0)
    anew = shown.begin(knock(began=5.0, nonce=OTHER)).waiting["K"]
    assert (anew.number, anew.began) == ("", 5.0), "who knocks anew has no number until its nonce is shown"


def test_knocks_are_few_by_one_device_from_one_address_and_in_all() -> None:
    for one in (lambda n: knock(began=n, host=f"10.0.0.{n}"), lambda n: knock(peer=f"K{n}", began=n)):
        knocks = Knocks()
        for number in range(MOST_OF_ONE):
            knocks = knocks.begin(one(number))
        with pytest.raises(KnockRefused, match="3 times"):
            knocks.begin(one(MOST_OF_ONE))
        assert knocks.begin(one(int(LIFE_SECONDS))), "the first one is over"
    knocks = Knocks()
    for number in range(MOST):
        knocks = knocks.begin(knock(f"K{number}", f"10.0.0.{number}"))
    with pytest.raises(KnockRefused, match="8 knocks"):
        knocks.without("K0").begin(knock("K8", "10.0.0.8"))


def test_a_number_that_two_devices_show_is_no_number() -> None:
    numbers = [("K", "4827"), ("X", "4827"), ("L", "0001"), ("N", "")]
    assert meant_by(numbers, "4827") == {"K", "X"}
    assert meant_by(numbers, "0001") == {"L"}
    assert meant_by(numbers, "1111") == meant_by(numbers, "") == set()


# ---------------------------------------------------------------------- a device between two others


class Between:
    """X is a member to K and knocks at M. Each message is taken out of a hand and put into another one, in any order.

    :param guess: gives X's nonce, by what it has seen so far
    """

    def __init__(self, guess: Callable[[dict[str, str]], str], nonces: Callable[[], str]):
        self.seen: dict[str, str] = {}
        self._guess, self._nonces = guess, nonces
        self.at_k = self.at_m = ""  # the numbers that the two people see

    def with_k(self) -> None:
        """K knocks at X: it commits, is told a nonce, and shows its own."""
        k_nonce = self._nonces()
        self.seen["commitment of K"] = commitment(k_nonce)
        x_nonce = self._guess(self.seen)
        self.at_k = number_of(k_nonce, x_nonce, "K", "X")
        self.seen |= {"nonce of K": k_nonce, "number at K": self.at_k}

    def with_m(self) -> None:
        """X knocks at M, who hears it by the rules."""
        x_nonce = self._guess(self.seen)
        m_nonce = self._nonces()
        knocks = Knocks().begin(Waiting("X", "phone", "10.0.0.66", 0.0, commitment(x_nonce), m_nonce))
        self.seen["nonce of M"] = m_nonce
        self.at_m = knocks.show("X", x_nonce, "M", now=0.1).waiting["X"].number
        self.seen["number at M"] = self.at_m


def test_who_sits_between_two_devices_can_only_guess() -> None:
    numbers = random.Random(25)

    def nonce() -> str:
        return numbers.randbytes(NONCE_BYTES).hex()

    def grinding(seen: dict[str, str]) -> str:
        """Take the nonce that would give the number wanted, if what is not known yet were what was seen before."""
        wanted = seen.get("number at M", seen.get("number at K"))
        for _ in range(200):
            tried = nonce()
            if number_of(seen.get("commitment of K", nonce()), tried, "K", "X") == wanted:
                break
        return tried

    matches = 0
    for order in (("with_k", "with_m"), ("with_m", "with_k")):
        for _ in range(100):
            between = Between(grinding, nonce)
            for side in order:
                getattr(between, side)()
            matches += between.at_k == between.at_m
    assert matches == 0


def test_without_a_commitment_grinding_would_find_the_number() -> None:
    """The rules are what holds: the same device, shown K's nonce before it has to say its own, has the number."""
    numbers = random.Random(25)
    k_nonce, wanted = numbers.randbytes(NONCE_BYTES).hex(), "4827"
    tries = (numbers.randbytes(NONCE_BYTES).hex() for _ in range(20 * NUMBERS))
    assert any(number_of(k_nonce, tried, "K", "X") == wanted for tried in tries)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("phone", "phone"),
        ("몽이 폰", "몽이 폰"),
        ("a (10.0.0.9) knocks: 4827", "a 10.0.0.9 knocks 482"),
        ("x" * 64, "x" * 32),
        ("\u20281", "1"),
        ("😀", "a device"),
        ("", "a device"),
    ],
)
def test_a_name_beside_a_number_looks_like_none(name: str, shown: str) -> None:
    assert knock_name(name) == shown
    parse_value(KnockRequest, {"name": knock_name(name), "run": "", "commitment": "ab" * 32})
