"""What a device finds out about others, and when that is enough to name one."""

from __future__ import annotations

from peer.outer.findings import LEFT_OUT_SECONDS, Findings
from peer.wire import MOST_LEFT_OUT, Notice, Role

ANA, BEN, CLEO, DAN = (letter * 12 for letter in "ABCD")
SEQ_LEN, PACE = 32, 40.0  # tokens, sequences a second


def notice(peer: str, *at_odds: str) -> Notice:
    return Notice(
        peer=peer, name=peer[0], address="", role=Role.TRAINING, tokens_per_second=PACE * SEQ_LEN, at_odds=at_odds
    )


HONEST = [notice(BEN), notice(CLEO), notice(DAN)]  # as Ana sees them
KNOWN = {BEN, CLEO, DAN}


def test_who_is_at_odds_is_left_out_once_more_than_half_have_seen_it() -> None:
    findings = Findings(SEQ_LEN)
    findings.reduced([BEN, CLEO, DAN], [DAN])
    findings.reduced([BEN, CLEO, DAN], [DAN])
    assert list(findings.at_odds) == [DAN], "it says what it has seen"
    assert findings.to_leave_out(HONEST, KNOWN) == [], "it may be its own fault"
    others = [notice(BEN), notice(CLEO, DAN), notice(DAN, BEN, CLEO, ANA)]
    assert findings.to_leave_out(others, {DAN, BEN}) == [], "the words of strangers are none"
    assert findings.to_leave_out(others, KNOWN) == [DAN], "two of three"
    assert findings.left_out(DAN) == LEFT_OUT_SECONDS
    assert findings.to_leave_out(HONEST, KNOWN) == [], "it begins anew"
    assert list(findings.at_odds) == [DAN], "the others are told for as long as it is left out"
    assert findings.left_out(DAN) == 2 * LEFT_OUT_SECONDS, "and it is left out for longer the next time"


def test_what_was_once_is_forgotten() -> None:
    findings = Findings(SEQ_LEN)
    findings.reduced([BEN], [BEN])
    for _ in range(4):
        assert list(findings.at_odds) == [BEN]
        findings.reduced([BEN], [])
    assert not findings.at_odds


def test_the_word_of_one_device_is_not_enough() -> None:
    findings = Findings(SEQ_LEN)
    assert findings.to_leave_out([notice(BEN, DAN), notice(CLEO), notice(DAN)], KNOWN) == []
    two = [notice(BEN, DAN), notice(CLEO, DAN), notice(DAN, BEN, CLEO, ANA)]
    assert findings.to_leave_out(two, KNOWN) == [DAN], "two of three, though we have not seen it"
    many = [notice(letter * 12) for letter in "EFG"]
    assert findings.to_leave_out([*two, *many], KNOWN | {one.peer for one in many}) == [], "two of six"
    alone = Findings(SEQ_LEN)
    alone.reduced([BEN, DAN], [DAN])
    assert alone.to_leave_out([notice(BEN), notice(DAN)], {BEN, DAN}) == [], "one of two"
    assert alone.to_leave_out([notice(BEN, DAN), notice(DAN)], {BEN, DAN}) == [DAN]


def test_nobody_speaks_against_itself_or_us_alone() -> None:
    findings = Findings(SEQ_LEN)
    assert findings.to_leave_out([notice(BEN, BEN), notice(CLEO)], KNOWN) == []
    assert not findings.is_said_of_us(ANA, [notice(BEN, ANA), notice(CLEO), notice(DAN)], KNOWN)
    against = [notice(BEN, ANA), notice(CLEO, ANA), notice(DAN)]
    assert findings.is_said_of_us(ANA, against, KNOWN)
    assert not findings.is_said_of_us(ANA, against, KNOWN), "it is said once"
    assert not findings.is_said_of_us(ANA, HONEST, KNOWN)
    assert findings.is_said_of_us(ANA, against, KNOWN), "and again when it is so again"


def test_no_notice_names_more_than_may_be_named() -> None:
    findings = Findings(SEQ_LEN)
    peers = [f"{letter}" * 12 for letter in "ABCDEFGHJKLM"]
    findings.reduced(peers, peers)
    assert len(findings.at_odds) == MOST_LEFT_OUT


def given(findings: Findings, samples: int, weight: int, now: float, own: float = 0.0) -> bool:
    gave = {BEN: (samples, weight), CLEO: (round(PACE), round(PACE))}
    return findings.too_much(gave, HONEST, own * SEQ_LEN, now).keys() == {BEN}


def test_who_weighs_more_than_it_can_have_trained_is_found() -> None:
    findings = Findings(SEQ_LEN)
    assert not given(findings, 10**6, 10**6, 0.0), "nobody knows how long it was alone before"
    for now in range(1, 50):
        weight = round(PACE * (1 + now % 3))  # devices are busy now and then
        assert not given(findings, weight, weight, float(now))
    claims = [given(findings, round(20 * PACE), round(20 * PACE), 50.0 + second) for second in range(3)]
    assert any(claims), "twenty times as much, within some seconds"


def test_training_of_a_time_apart_is_believed_but_not_again_and_again() -> None:
    findings = Findings(SEQ_LEN)
    hours = round(5 * 3600 * PACE)
    for now in (0.0, 1.0, 2.0, 3.0):
        assert not given(findings, 40, 40, now)
    assert not given(findings, hours, 40, 4.0)
    assert not given(findings, hours, 40, 5.0), "and once more, where it was in two groups"
    for now in range(6, 12):
        assert not given(findings, 40, 40, float(now))
    claims = [given(findings, 2**24, 40, 12.0 + second) for second in range(3)]
    assert claims == [False, False, True]
    found = findings.too_much({BEN: (2**24, 40), CLEO: (40, 40)}, HONEST, 0.0, 15.0)
    assert found == {BEN: True}, "once more in a row: it is to be named"


def test_who_comes_back_after_an_hour_may_have_trained_for_an_hour() -> None:
    findings = Findings(SEQ_LEN)
    assert not given(findings, 40, 40, 0.0) and not given(findings, 40, 40, 1.0)
    assert not given(findings, round(3600 * PACE), round(3600 * PACE), 3601.0)
    assert given(findings, 40 * 3600, 40 * 3600, 3602.0), "but not twice"


def test_a_device_that_had_just_begun_when_it_was_seen_first_may_be_as_fast_as_ours() -> None:
    """Its first notices are of a bad moment: of a start on a busy machine, at a tenth of its speed."""
    findings = Findings(SEQ_LEN)
    assert not given(findings, 40, 40, 0.0) and not given(findings, 40, 40, 1.0)
    assert not given(findings, round(10 * PACE), round(10 * PACE), 2.0, own=10 * PACE)
    assert not given(findings, round(15 * PACE), round(15 * PACE), 3.0, own=10 * PACE)
    assert given(findings, round(400 * PACE), round(400 * PACE), 4.0, own=10 * PACE), "but not as much as anything"
