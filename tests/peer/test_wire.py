"""The messages: of each a good one passes, and none with a field that breaks its bound."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import pytest
from pydantic import BaseModel

from minigpt.checkpoint.manifest import MODEL
from peer import wire, wire_asking, wire_household, wire_knocking
from peer.network.other_versions import what_to_update
from peer.state.anchor import MEAN_BITS
from peer.wire import (
    KEY_BYTES,
    MAX_COUNT,
    MAX_PEERS,
    MAX_SAMPLES,
    PROTOCOL_VERSION,
    SHARD_BYTES,
    Announcement,
    CallBackRequest,
    Declared,
    FileRequest,
    ManifestRequest,
    MeanHeader,
    MeanRequest,
    Message,
    Notice,
    OtherVersion,
    PiecesRequest,
    ProtocolViolation,
    Role,
    ShardList,
    ShardRequest,
    Signature,
    exchange_prefix,
    hash_of,
    is_run_name,
    parse,
    parse_announcement,
    parse_notice,
    parse_other_version,
    parse_signature,
    parse_value,
    unsigned,
)
from peer.wire_asking import MOST_CHARACTERS, MOST_TEXTS, MOST_TOKENS, AnswerPart, AnswerRequest
from peer.wire_household import MAX_CHANGES, MAX_EPOCH, MAX_KNOWN, Change, Household, Renewal, RenewalRequest
from peer.wire_knocking import HeardKnock, HeardKnocks, KnockAnswer, KnockDecision, KnockNonce, KnockRequest, KnockState

RUN_ID = "cellmind-1a2b3c4d5e6f"
SHA256, PEER = "ab" * 32, "Q" * 12
ADDRESS = f"/ip4/10.0.0.1/tcp/23457/p2p/{PEER}"
NUMBERS: list[object] = [-1, 1.5, "1", True, None, math.nan, math.inf]  # that are no count
SECONDS: list[object] = [-1.0, 1e30, math.nan, math.inf, "1.0", None]  # that are no time
HASHES: list[object] = ["", "AB" * 32, "ab" * 31, "../..", 5, None]  # that are none
RUNS: list[object] = ["A", "x" * 41, "..", "*", "a b", "a\n", 5, None]  # that are no names of runs
ADDRESSES: list[object] = ["/dns4/a/tcp/1/p2p/Q", "/ip4/1/tcp/1/p2p/Q", ADDRESS + "Q" * 100, "/ip4/10.0.0.1/tcp/1", 5]
ADDRESSES += [f"/ip4/{place}/p2p/{PEER}" for place in ("999.0.0.1/tcp/1", "10.0.0.01/tcp/1", "10.0.0.1/tcp/65536")]
ADDRESSES += [f"/ip4/10.0.0.1/tcp/1/p2p/{peer}" for peer in ("", "0O", "a_b", "a/b")]
NO_RUN_IDS: list[object] = ["", "cellmind", "cellmind-", "cellmind-1a2b3c4d5e6", "A-1a2b3c4d5e6f", 5, None]
NAMES: list[object] = ["", "x" * 65, "two\nlines", "\x1b[31mred", 5]
SIZES: list[object] = [-1, 2**60, 1.0, "1", None]
NO_MESSAGES: list[object] = [None, [], "notice", {}, 5]
KNOCK_NAMES: list[object] = [*NAMES, "x" * 33, "phone (10.0.0.9) knocks", "phone: 1", "phone 4827", "२०२६"]
NO_DIGITS: list[object] = ["", "123", "12345", "12 4", "١٢٣٤", 1234, None]
NO_SAMPLES: list[object] = [[], {}, [[PEER]], [["0", 8]], [[PEER, 8]] * (MAX_PEERS + 1), None]
CHANGE = {
    **{"kind": "eject", "run_id": RUN_ID, "author": PEER, "known": [SHA256], "counts": [["B", 2]], "epoch": 2},
    **{"key_hash": SHA256, "identity": "ab" * 256, "signature": "cd" * 256},
}
HOUSEHOLD = {"run_id": RUN_ID, "epoch": 1, "key": SHA256, "first": SHA256, "changes": [CHANGE]}
KNOCK = {"peer": PEER, "name": "phone", "host": "10.0.0.9", "number": "4827", "age": 1.5}
SHARDS = [f"{number:064x}" for number in range(2)]

# a good message of each kind, and what none of its fields may be
GOOD: dict[type[BaseModel], dict[str, Any]] = {
    Notice: {
        **{
            "version": PROTOCOL_VERSION,
            "peer": PEER,
            "name": "desk",
            "address": ADDRESS,
            "role": "training",
            "started": 1.0,
            "run_id": "a-0",
        },
        **{"round": 1, "lineage": SHA256, "trained": 1, "offered": 1, "reachable": True, "sharing": True},
        **{
            "gives_text": False,
            "sequences": 1,
            "tokens_per_second": 1.0,
            "ready": True,
            "pause": 1.0,
            "step_seconds": 0.1,
        },
        "judgement": "gains",
        "at_odds": ("A" * 46, "B" * 46),
        "paused": "battery at 9 %",
        "kind": "phone",
        "household": "ab" * 8,
        "judges": True,
        "refuses": [PEER],
        "went_back": 1e9,
    },
    Change: CHANGE,
    Household: HOUSEHOLD,
    RenewalRequest: {"run_id": RUN_ID, "comes_in": True},
    Renewal: {"household": HOUSEHOLD},
    Announcement: {
        "version": str(PROTOCOL_VERSION),
        "address": ADDRESS,
        "name": "desk",
        "run": "cellmind",
        "started": "1.0",
        "tag": "",
    },
    KnockRequest: {"name": "phone", "run": "cellmind", "commitment": SHA256},
    KnockAnswer: {"nonce": SHA256, "problem": "", "other_run": False},
    KnockNonce: {"nonce": SHA256},
    KnockState: {
        "household": HOUSEHOLD,
        "waiting": False,
    },
    HeardKnock: KNOCK,
    HeardKnocks: {"knocks": [KNOCK]},
    KnockDecision: {"peer": PEER, "number": "0123", "let_in": True},
    AnswerRequest: {"texts": ["안녕", ""], "is_talk": True, "temperature": 0.8, "tokens": 60},
    AnswerPart: {"text": " 응", "is_last": False, "problem": ""},
    CallBackRequest: {"port": 23457},
    Declared: {
        **{"bits": 2, "lineage": "ab", "samples": 8, "weight": 8, "steps": 2, "group_size": 2, "patience": 4.0},
    },
    ManifestRequest: {"run": "cellmind", "state": "best"},
    PiecesRequest: {"run": "cellmind", "file": MODEL, "sha256": SHA256},
    FileRequest: {"run": "cellmind", "file": MODEL, "sha256": SHA256, "offset": 0, "size": 100},
    MeanRequest: {"run": "cellmind", "previous": SHA256, "offset": 0, "size": 100},
    ShardRequest: {"sha256": SHA256, "offset": 0},
    ShardList: {
        **{"format": 1, "tokenizer": SHA256, "type": "<u2", "bytes": SHARD_BYTES + 10, "shards": SHARDS},
        "sha256": hash_of(SHARDS),
    },
}
NOT_TRUTH: list[object] = [1, "true", None]
BROKEN: dict[type[BaseModel], dict[str, list[object]]] = {
    Notice: {
        "version": [*NUMBERS, PROTOCOL_VERSION - 1, PROTOCOL_VERSION + 1],
        "peer": ["", "0" * 12, "Il" * 6, "Q" * 65, 5],
        "name": NAMES,
        "address": ADDRESSES,
        "role": ["emperor", "", 5],
        "started": SECONDS,
        "run_id": ["x" * 65, "a\x1b[2J", 5],
        "round": [*NUMBERS, 2**60],
        "lineage": ["x" * 65, 5],
        "trained": [*NUMBERS, 2**60],
        "offered": [*NUMBERS, 2**60],
        "reachable": NOT_TRUTH,
        "sharing": NOT_TRUTH,
        "gives_text": NOT_TRUTH,
        "sequences": [*NUMBERS, 2**60],
        "tokens_per_second": SECONDS,
        "ready": NOT_TRUTH,
        "pause": [*SECONDS, 1e4],
        "step_seconds": [*SECONDS, 1e6],
        "judgement": ["done", "Learnt", None, 1],
        "at_odds": ["A", 5, None, ["O"], [5], ["A"] * 9],
        "paused": ["x" * 65, "\x1b[31mred", 5],
        "kind": ["tablet", "", None],
        "household": ["a", "AB" * 8, "ab" * 9, 5, None],
        "judges": NOT_TRUTH,
        "refuses": [[PEER] * 5, ["0"], [5], PEER, 5, None],
        "went_back": SECONDS,
    },
    Change: {
        "kind": ["", "Eject", "lock", "admit", "rekey", "open", 5, None],  # which say something else
        "run_id": NO_RUN_IDS,
        "author": ["", "0" * 12, "Q" * 65, "B", 5],  # the last but one ejects itself
        "known": [["ab"], SHA256, [5], [SHA256] * (MAX_KNOWN + 1), {}, None],
        "counts": [
            *([], [["B", 1]], [["B", 2], ["C", 2]], [["B"]], [["0", 2]], [["B", 2.0]], [["B", "2"]], [["B", True]]),
            *([["B", -2]], [["B", 0]], [["B", 2**31]], {"B": 2}, "", None),
        ],
        "epoch": [*NUMBERS, 0, MAX_EPOCH + 1],
        "key_hash": ["", "ab", "AB" * 32, 5, None],
        "identity": ["", "ab" * 255, "AB" * 256, 5, None],
        "signature": ["", "ab" * 255, "AB" * 256, 5, None],
    },
    Household: {
        "run_id": NO_RUN_IDS,
        "epoch": [*NUMBERS, 0, MAX_EPOCH + 1],
        "key": ["ab", "AB" * 32, "ab" * 33, 5, None],
        "first": ["ab", "AB" * 32, 5, None],
        "changes": [{}, "", None, [5], [{}], [{**CHANGE, "counts": []}], [CHANGE] * (MAX_CHANGES + 1)],
    },
    RenewalRequest: {"run_id": NO_RUN_IDS, "comes_in": NOT_TRUTH},
    Renewal: {"household": [5, "", {}, {"run_id": RUN_ID}]},
    Announcement: {
        "version": ["", "0", "-1", "1.5", "two", "65536"],
        "address": [*ADDRESSES, ""],
        "name": NAMES,
        "run": RUNS,
        "started": ["", "soon", "nan", "inf", "-1", "1e30"],
        "tag": ["ab", "AB" * 8, "ab" * 8, 5, None],  # the third beside a name
    },
    KnockRequest: {"name": KNOCK_NAMES, "run": RUNS, "commitment": HASHES},
    KnockAnswer: {
        "nonce": ["ab", "AB" * 32, 5, None],
        "problem": ["x" * 65, "\x1b[31mred", 5, None],
        "other_run": NOT_TRUTH,
    },
    KnockNonce: {"nonce": ["", "ab", "AB" * 32, 5, None]},
    KnockState: {"household": [5, "", {}, {"run_id": RUN_ID}], "waiting": NOT_TRUTH},
    HeardKnock: {
        "peer": ["", "0" * 12, "Q" * 65, 5],
        "name": KNOCK_NAMES,
        "host": ["here", "1.2.3", "1.2.3.4.5", "1" * 16, 5, None],
        "number": NO_DIGITS,
        "age": [*SECONDS, 1e4],
    },
    HeardKnocks: {"knocks": [[KNOCK] * 9, [{**KNOCK, "number": ""}], {}, None]},
    KnockDecision: {"peer": ["", "0" * 12, "Q" * 65, 5], "number": NO_DIGITS, "let_in": NOT_TRUTH},
    AnswerRequest: {
        "texts": [[], ["x" * (MOST_CHARACTERS + 1)], [""] * (MOST_TEXTS + 1), [5], "x", None],
        "is_talk": NOT_TRUTH,
        "temperature": [*SECONDS, 2.1],
        "tokens": [*NUMBERS, 0, MOST_TOKENS + 1],
    },
    AnswerPart: {
        "text": ["x" * (MOST_CHARACTERS + 1), 5, None],
        "is_last": NOT_TRUTH,
        "problem": ["tired", 5, None],
    },
    CallBackRequest: {"port": [*NUMBERS, 0, 65536]},
    Declared: {
        "bits": [*NUMBERS, 0, 3, 4],
        "lineage": ["x" * 65, 5],
        "samples": [*NUMBERS, MAX_SAMPLES + 1],
        "weight": [*NUMBERS, 9],
        "steps": [*NUMBERS, MAX_COUNT + 1],
        "group_size": [*NUMBERS, 0, MAX_PEERS + 1],
        "patience": SECONDS,
    },
    ManifestRequest: {"run": RUNS, "state": ["", "Best", "oldest", None, 5]},
    PiecesRequest: {"run": RUNS, "file": ["", "..", "passwd", f"../{MODEL}", 5], "sha256": HASHES},
    FileRequest: {
        **{"run": RUNS, "file": ["", "..", "passwd", f"../{MODEL}", 5], "sha256": HASHES},
        **{"offset": SIZES, "size": SIZES},
    },
    MeanRequest: {"run": RUNS, "previous": HASHES, "offset": SIZES, "size": SIZES},
    ShardRequest: {"sha256": HASHES, "offset": [*SIZES, SHARD_BYTES]},
    ShardList: {
        "format": [2, "1", None],
        "tokenizer": HASHES,
        "type": ["<f4", ">u2", 5],
        "bytes": [*NUMBERS, 0, 5, SHARD_BYTES + 11, 10 * SHARD_BYTES, 2**60],
        "shards": [[], SHARDS[:1], [*SHARDS, "x"], [SHA256] * 2, SHA256],
        "sha256": [*HASHES, SHA256],
    },
}
CASES = [
    (kind, field, value) for kind, fields in BROKEN.items() for field, values in fields.items() for value in values
]


def test_every_field_of_every_message_is_tried() -> None:
    kinds = {
        kind
        for module in (wire, wire_household, wire_knocking, wire_asking)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Message)
    } - {Message}
    assert kinds == GOOD.keys() == BROKEN.keys()
    for kind in kinds:
        assert kind.model_fields.keys() == GOOD[kind].keys() == BROKEN[kind].keys()


@pytest.mark.parametrize("kind", GOOD, ids=lambda kind: kind.__name__)
def test_a_good_message_passes_as_text_and_as_a_value(kind: type[Message]) -> None:
    good = GOOD[kind]
    message = parse(kind, json.dumps(good))
    assert message == parse_value(kind, good)
    assert parse(kind, message.model_dump_json()) == message == parse_value(kind, message.model_dump(mode="json"))


@pytest.mark.parametrize(("kind", "field", "value"), CASES, ids=[f"{k.__name__}-{f}-{v!r:.20}" for k, f, v in CASES])
def test_a_field_beyond_its_bound_is_refused(kind: type[Message], field: str, value: object) -> None:
    odd = {**GOOD[kind], field: value}
    with pytest.raises(ProtocolViolation) as refused:
        parse_value(kind, odd)
    assert str(refused.value).isprintable() and len(str(refused.value)) <= 200
    with pytest.raises(ProtocolViolation):
        parse(kind, json.dumps(odd))


@pytest.mark.parametrize("kind", GOOD, ids=lambda kind: kind.__name__)
def test_what_is_no_such_message_is_refused(kind: type[Message]) -> None:
    for odd in (*NO_MESSAGES, {**GOOD[kind], "more": 1}, {**GOOD[kind], "\x1b[2J\n": 1}):
        with pytest.raises(ProtocolViolation) as refused:
            parse_value(kind, odd)
        assert str(refused.value).isprintable(), "it is shown to people"
    for text in ("", "{", "[" * 1000, "\0", "x" * (kind.MAX_BYTES + 1), b"\xff\xfe", json.dumps(GOOD[kind])[:-1]):
        with pytest.raises(ProtocolViolation):
            parse(kind, text)


def test_what_strangers_are_told_of_exchanges_says_nothing_of_the_run() -> None:
    """libp2p's identify tells everybody the names of all handlers."""
    prefix = exchange_prefix(RUN_ID)
    assert not any(part in prefix for part in RUN_ID.split("-")) and re.fullmatch("[0-9a-f]{16}", prefix)
    assert prefix == exchange_prefix(RUN_ID) != exchange_prefix("club" + RUN_ID)


def test_a_message_is_not_changed_by_who_holds_it() -> None:
    request = ShardRequest(sha256=SHA256, offset=0)
    with pytest.raises(ValueError, match="frozen"):
        request.offset = 5


def test_a_mean_says_what_it_moves_whose_it_is_and_by_how_many_steps() -> None:
    header = parse(MeanHeader, json.dumps([SHA256, [[PEER, 8], ["B", 0]], 4]))
    assert (header.previous, header.samples, header.count) == (SHA256, {PEER: 8, "B": 0}, 4)


@pytest.mark.parametrize(
    "odd",
    [
        *([previous, [[PEER, 8]], 4] for previous in ("", "AB", "ab" * 33, "../..", 5, None)),
        *([SHA256, samples, 4] for samples in NO_SAMPLES),
        *([SHA256, [[PEER, samples]], 4] for samples in [*NUMBERS, MAX_SAMPLES + 1]),
        *([SHA256, [[PEER, 8]], count] for count in [*NUMBERS, 0, MAX_COUNT + 1]),
        *([SHA256], [SHA256, [[PEER, 8]], 4, 5], {}, 4, "x" * 2**16),
    ],
)
def test_an_odd_header_is_none(odd: object) -> None:
    with pytest.raises(ProtocolViolation):
        parse(MeanHeader, json.dumps(odd))


def test_an_announcement_goes_through_mdns_and_back() -> None:
    said = Announcement(address=ADDRESS, name="책상", run="", started=1.25)
    assert all(isinstance(value, str) for value in said.properties().values())
    heard = parse_announcement({**said.properties(), "run": None, "later": "1"})
    assert heard == said.model_copy(update={"started": 1.2}), "a bootstrap node has no run"
    with pytest.raises(ProtocolViolation):
        parse_announcement({"address": ADDRESS})


OLD_NOTICE = {  # as devices said it before there was a version
    **{"peer": PEER, "name": "desk", "address": ADDRESS, "role": "training", "started": 1.0, "run_id": "a-0"},
    **{"round": 1, "anchor": SHA256, "trained": 1, "offered": 1, "reachable": True, "sharing": True},
    **{"gives_text": False, "tokens_per_second": 1.0, "ready": True, "pause": 1.0, "step_seconds": 0.1, "paused": ""},
}


def test_a_notice_of_another_version_is_none_of_ours_and_tells_which_is_older() -> None:
    assert parse_notice(ADDRESS, OLD_NOTICE) is None
    without_version = {key: value for key, value in GOOD[Notice].items() if key != "version"}
    assert parse_notice(ADDRESS, without_version) is None
    older = parse_other_version(ADDRESS, OLD_NOTICE)
    assert older == OtherVersion(version=1, peer=PEER, name="desk", address=ADDRESS)
    line = "desk (10.0.0.1) runs an older version of CellMind and does not train with this one: update it (git pull)"
    assert what_to_update(older) == line
    newer = {"version": PROTOCOL_VERSION + 1, "peer": PEER, "name": "desk", "address": ADDRESS, "mood": [1]}
    assert parse_notice(ADDRESS, newer) is None
    other = parse_other_version(ADDRESS, newer)
    assert other is not None and re.search("newer version .* update this device .git pull", what_to_update(other))


@pytest.mark.parametrize(
    "change",
    [
        {"version": PROTOCOL_VERSION},
        *({"version": version} for version in (*NUMBERS, 0, 2**16)),
        *({"name": name} for name in NAMES),
        *({"address": address} for address in [*ADDRESSES, ""]),
        {"peer": "M" * 12},
        {"address": f"/ip4/10.0.0.2/tcp/1/p2p/{PEER}"},
    ],
)
def test_nobody_is_told_of_what_is_no_notice_at_all(change: dict[str, Any]) -> None:
    assert parse_other_version(ADDRESS, {**OLD_NOTICE, **change}) is None
    for odd in NO_MESSAGES:
        assert parse_other_version(ADDRESS, odd) is None


@pytest.mark.parametrize("field", ["key", "signature"])
@pytest.mark.parametrize("odd", [None, "k" * KEY_BYTES, b"", b"k" * (KEY_BYTES - 1), b"k" * (KEY_BYTES + 1), 5])
def test_a_signature_of_another_form_is_none(field: str, odd: object) -> None:
    good = {**GOOD[Notice], "key": b"k" * KEY_BYTES, "signature": b"s" * KEY_BYTES}
    assert parse_signature(good) == Signature(key=b"k" * KEY_BYTES, signature=b"s" * KEY_BYTES)
    assert parse_signature({**good, field: odd}) is None
    assert parse_signature({name: value for name, value in good.items() if name != field}) is None
    assert unsigned(good) == GOOD[Notice]
    assert all(parse_signature(odd) is None for odd in NO_MESSAGES)


def test_an_announcement_of_another_version_tells_which_is_older() -> None:
    old = {"address": ADDRESS, "name": "desk", "run": "cellmind", "started": "1.0"}
    assert parse_announcement({**old, "version": str(PROTOCOL_VERSION)}).other_version is None
    assert parse_announcement(old).other_version == OtherVersion(version=1, peer=PEER, name="desk", address=ADDRESS)
    newer = parse_announcement({**old, "version": str(PROTOCOL_VERSION + 1), "mood": "1"}).other_version
    assert newer is not None and newer.version == PROTOCOL_VERSION + 1


@pytest.mark.parametrize("length", [1, 46, 64, 65, 69])
def test_whoever_can_announce_an_address_can_be_told_of(length: int) -> None:
    said = {"address": f"/ip4/1.1.1.1/tcp/1/p2p/{'Q' * length}", "name": "desk", "run": "", "started": "1.0"}
    try:
        announced = parse_announcement(said)
    except ProtocolViolation:
        assert length > 64
    else:
        assert announced.other_version is not None


def test_averagers_of_two_versions_do_not_meet() -> None:
    assert exchange_prefix("cellmind-0") != "cellmind-0"
    assert "." not in exchange_prefix("cellmind-0"), "hivemind cuts its names there"


def test_bits_are_those_that_the_anchor_knows() -> None:
    for bits in range(1, 33):
        if bits in MEAN_BITS:
            assert parse_value(Declared, {**GOOD[Declared], "bits": bits}).bits == bits
        else:
            with pytest.raises(ProtocolViolation):
                parse_value(Declared, {**GOOD[Declared], "bits": bits})


def test_names_of_runs() -> None:
    assert is_run_name("cellmind-2") and not is_run_name("") and not is_run_name("cellmind\n")


def test_states_are_ordered_by_what_was_trained_then_by_round() -> None:
    less = Notice(peer=PEER, name="a", address="", role=Role.TRAINING, trained=5, round=9, lineage="z")
    assert less.state < less.model_copy(update={"trained": 6, "round": 1}).state
    assert less.state < less.model_copy(update={"round": 10, "lineage": ""}).state
    assert [role for role in Role if less.model_copy(update={"role": role}).has_state] == [Role.RELAYING, Role.TRAINING]
