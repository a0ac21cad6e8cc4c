"""The advice that is given where exchanges do not help a device, and where none is."""

from peer.swarm.advice import NOTICEABLE, advice
from peer.wire import Notice, Role


def member(letter: str, pause: float) -> Notice:
    return Notice(peer=letter * 12, name=f"device {letter}", address="", role=Role.TRAINING, pause=pause)


QUICK = [member("A", pause=9.0), member("B", pause=12.0)]


def said(
    exchange_seconds: float = 1.0,
    step_seconds: float = 0.5,
    balance: tuple[float, float] | None = None,
    group: list[Notice] = QUICK,
) -> dict[str, str]:
    return dict(advice(exchange_seconds, step_seconds, balance, group))


def test_where_all_is_well_nothing_is_said() -> None:
    assert not said()
    assert not said(balance=(0.08, 0.4))
    assert not said(group=[])
    assert not said(exchange_seconds=1.9, step_seconds=0.01), "of a tiny model that is nobody's loss"


def test_a_link_on_which_what_others_learn_arrives_late() -> None:
    assert "took 9 s, as long as 18 steps" in said(exchange_seconds=9.0)["link"]
    assert not said(exchange_seconds=7.9)


def test_company_that_costs_more_than_it_brings() -> None:
    assert (
        "takes 8% of this device's speed, and what the others train is worth 5%"
        in said(balance=(0.08, 0.05))["balance"]
    )
    assert not said(balance=(NOTICEABLE, 0.0)), "that is nothing"


def test_one_device_that_makes_exchanges_rare_for_others_is_named() -> None:
    slow = member("S", pause=130.0)
    assert list(said(group=[slow, *QUICK])) == ["S" * 12]
    text = said(group=[*QUICK, slow])["S" * 12]
    assert "device S makes exchanges rare: one every 130 s, where the others could have one every 12 s" in text
    assert not said(group=[member("S", pause=110.0), *QUICK]), "it is much the same for all"
    assert not said(group=[member("S", pause=9.0), member("A", pause=0.1), member("B", pause=0.2)]), (
        "that is often enough"
    )
    assert not said(group=[slow, QUICK[0]]), "without it there would be nobody to exchange with"
