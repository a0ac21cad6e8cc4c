"""What a device finds out about others, and when that is enough to name one."""

from __future__ import annotations

from peer.outer.findings import LEFT_OUT_SECONDS, PLAUSIBLE, SLACK_SECONDS, Findings
from peer.wire import MOST_LEFT_OUT, Notice, Role

ANA, BEN, CLEO, DAN = (letter * 12 for letter in "ABCD")
SEQ_LEN, PACE = 32, 40.0  # tokens, sequences a second


def notice(peer: str, *at_odds: str) -> Notice:
    return Notice(
        peer=peer, name=peer[0], address="", role=Role.TRAINING, tokens_per_second=PACE * SEQ_LEN, at_odds=at_odds
    )


HONEST = [notice(BEN), notice(CLEO), notice(DAN)]  # as Ana sees them
KNOWN = {BEN, CLEO, DAN}


def test_who_was_at_odds_twice_is_left_out_and_once_is_said() -> None:
    findings = Findings(SEQ_LEN)
    assert findings.to_leave_out(HONEST, KNOWN) == []
    findings.reduced([BEN, CLEO, DAN], [DAN])
    assert list(findings.at_odds) == [DAN]
    assert findings.to_leave_out(HONEST, KNOWN) == []
    findings.reduced([BEN, CLEO, DAN], [DAN])
    assert findings.to_leave_out(HONEST, KNOWN) == [DAN]
    assert findings.left_out(DAN) == LEFT_OUT_SECONDS
    assert findings.to_leave_out(HONEST, KNOWN) == [] and not findings.at_odds, "it begins anew"
    assert findings.left_out(DAN) == 2 * LEFT_OUT_SECONDS, "and is left out for longer the next time"


def test_what_was_once_is_forgotten() -> None:
    findings = Findings(SEQ_LEN)
    for number in range(100):
        findings.reduced([BEN], [BEN] if number % 5 == 0 else [])
        assert findings.to_leave_out(HONEST, KNOWN) == []
    for _ in range(4):
        findings.reduced([BEN], [])
    assert not findings.at_odds


def test_the_word_of_one_device_is_not_enough() -> None:
    findings = Findings(SEQ_LEN)
    assert findings.to_leave_out([notice(BEN, DAN), notice(CLEO), notice(DAN)], KNOWN) == []
    two = [notice(BEN, DAN), notice(CLEO, DAN), notice(DAN, BEN, CLEO, ANA)]
    assert findings.to_leave_out(two, KNOWN) == [DAN], "two of the two others"
    assert findings.to_leave_out(two, {DAN}) == [], "the words of strangers are none"
    many = [notice(letter * 12) for letter in "EFG"]
    assert findings.to_leave_out([*two, *many], KNOWN | {one.peer for one in many}) == [], "two of five"
    findings.reduced([BEN, CLEO, DAN], [DAN])
    assert findings.to_leave_out([notice(BEN, DAN), notice(CLEO), notice(DAN)], KNOWN) == [DAN], "we have seen it, too"


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


def given(findings: Findings, samples: int, now: float) -> bool:
    return findings.too_much({BEN: samples, CLEO: round(PACE)}, HONEST, now) == [BEN]


def test_who_claims_more_than_it_can_have_trained_is_found() -> None:
    findings = Findings(SEQ_LEN)
    assert not given(findings, 10**6, 0.0), "nobody knows how long it was alone before"
    for now in range(1, 50):
        assert not given(findings, round(1.5 * PACE), float(now))
    assert given(findings, 2**24, 50.0)
    assert not given(findings, round(PACE), 51.0), "it is in its notices again"
    claims = [given(findings, round(20 * PACE), 52.0 + second) for second in range(3)]
    assert any(claims), "twenty times as much, within some seconds"


def test_who_comes_back_after_an_hour_may_have_trained_for_an_hour() -> None:
    findings = Findings(SEQ_LEN)
    assert not given(findings, 40, 0.0) and not given(findings, 40, 1.0)
    assert not given(findings, round(3600 * PACE), 3601.0)
    assert given(findings, round(PLAUSIBLE * PACE * SLACK_SECONDS) + 200, 3602.0), "but not twice"
