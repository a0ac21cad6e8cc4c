"""Signed notices: whatever is changed, said later or elsewhere, or by somebody else, is not the device's own."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

import pytest
from hivemind.dht.routing import DHTID
from hivemind.dht.validation import DHTRecord
from hivemind.p2p import P2P, PeerID
from hivemind.utils import MSGPackSerializer

from peer.network import clock
from peer.network.address import NetworkError
from peer.network.dht_records import MAX_RECORD_BYTES, SoundRecords, board_of
from peer.network.signatures import Signer, Signers
from peer.swarm.membership import SILENCE_SECONDS
from peer.wire import PROTOCOL_VERSION, Notice, Role, parse_notice, parse_other_version

BOARD = DHTID.generate(source=board_of("cellmind")).to_bytes()
ELSEWHERE = DHTID.generate(source=board_of("club")).to_bytes()


class Device:
    """A device with an identity, and what it says of itself."""

    def __init__(self, folder: Path, name: str):
        P2P.generate_identity(str(folder / f"{name}.key"))
        self.signer = Signer(folder / f"{name}.key")
        self.address = f"/ip4/10.0.0.1/tcp/1/p2p/{self.signer.peer}"
        self.notice = Notice(peer=self.signer.peer, name=name, address=self.address, role=Role.TRAINING)

    def says(self, expiration: float, board: bytes = BOARD, **changes: object) -> dict[str, Any]:
        said = {**self.notice.model_dump(mode="json"), **changes}
        return self.signer.signed(board, said, expiration)


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Device:
    return Device(tmp_path_factory.mktemp("victim"), "victim")


@pytest.fixture(scope="module")
def attacker(tmp_path_factory: pytest.TempPathFactory) -> Device:
    return Device(tmp_path_factory.mktemp("attacker"), "attacker")


def test_who_signs_is_who_the_key_s_hash_says(tmp_path: Path) -> None:
    device = Device(tmp_path, "desk")
    assert device.signer.peer == PeerID.from_identity((tmp_path / "desk.key").read_bytes()).to_base58()


def test_a_device_s_own_words_pass_the_wire_and_fit_a_record(victim: Device) -> None:
    until = clock.now() + SILENCE_SECONDS
    written = MSGPackSerializer.dumps(victim.says(until))
    assert len(written) < MAX_RECORD_BYTES / 2
    read = MSGPackSerializer.loads(written)
    assert Signers().admit(BOARD, victim.address, read, until)
    assert parse_notice(victim.address, read) == victim.notice
    record = DHTRecord(BOARD, MSGPackSerializer.dumps(victim.address), written, until)
    assert SoundRecords(board_of("cellmind")).validate(record)
    assert SoundRecords(board_of("")).validate(record), "a bootstrap node keeps it as well"


def test_nothing_can_be_said_in_another_s_place(victim: Device, attacker: Device) -> None:
    until = clock.now() + SILENCE_SECONDS
    own = victim.says(until)
    odd: dict[Any, Any] = {5: 5, **own}
    signers = Signers()
    assert signers.admit(BOARD, victim.address, own, until)
    forged: dict[str, tuple[bytes, str, object, float]] = {
        "it leaves": (BOARD, victim.address, {**own, "role": "left"}, until),
        "another name": (BOARD, victim.address, {**own, "name": "thief"}, until),
        "another version": (BOARD, victim.address, {**own, "version": PROTOCOL_VERSION + 1}, until),
        "one more field": (BOARD, victim.address, {**own, "mood": 1}, until),
        "later": (BOARD, victim.address, own, until + 3.5),
        "on another board": (ELSEWHERE, victim.address, own, until),
        "under another address": (BOARD, attacker.address, own, until),
        "signed by another": (BOARD, victim.address, attacker.says(until, peer=victim.notice.peer), until),
        "with another's key": (BOARD, victim.address, {**own, "key": attacker.says(until)["key"]}, until),
        "unsigned": (BOARD, victim.address, victim.notice.model_dump(mode="json"), until),
        "unsigned, of an older version": (BOARD, victim.address, {"peer": victim.notice.peer, "name": "v"}, until),
        "unsigned, of a newer version": (BOARD, victim.address, {**victim.notice.model_dump(), "version": 99}, until),
        "half signed": (BOARD, victim.address, {**own, "signature": own["signature"][:-1]}, until),
        "no key": (BOARD, victim.address, {**own, "key": bytes(256)}, until),
        "names that are no text": (BOARD, victim.address, odd, until),
        "no notice": (BOARD, victim.address, ["left"], until),
    }
    admitted = [what for what, forgery in forged.items() if signers.admit(*forgery)]
    assert not admitted


def test_older_devices_are_heard_of_and_newer_ones_by_older(victim: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    until = clock.now() + SILENCE_SECONDS
    older = {"peer": victim.notice.peer, "name": "desk", "address": victim.address, "role": "training"}
    signers = Signers()
    assert signers.admit(BOARD, victim.address, older, until), "the first version did not say so"
    assert signers.admit(BOARD, victim.address, {**older, "version": 3}, until)
    newer = victim.says(until, version=PROTOCOL_VERSION + 1, mood=[1, {"b": 2, "a": 1}])
    read = MSGPackSerializer.loads(MSGPackSerializer.dumps(newer))
    assert signers.admit(BOARD, victim.address, read, until)
    other = parse_other_version(victim.address, read)
    assert other is not None and other.version == PROTOCOL_VERSION + 1
    assert not signers.admit(BOARD, victim.address, older, until + 1), "it has signed a moment ago"
    now = clock.now()
    monkeypatch.setattr(clock, "now", lambda: now + SILENCE_SECONDS + 1)
    assert signers.admit(BOARD, victim.address, older, until + 9), "it may have gone back to an older version"


def test_checking_what_others_say_costs_next_to_nothing(tmp_path: Path) -> None:
    """Of 32 devices a notice a second each, told by five keepers: below a tenth of a core, however slow."""
    devices = [Device(tmp_path, f"device-{number}") for number in range(4)]
    until = clock.now() + SILENCE_SECONDS
    signers, began = Signers(), time.process_time()
    for second in range(8):
        for device in devices:
            said = device.says(until + second)
            assert all(signers.admit(BOARD, device.address, said, until + second) for _ in range(5))
    assert time.process_time() - began < 0.08, "a second of 32 devices' notices, signed and told five times"


def test_a_file_that_holds_no_key_is_named(tmp_path: Path) -> None:
    path = tmp_path / "identity.key"
    with pytest.raises(NetworkError, match="identity"):
        Signer(path)
    path.write_bytes(b"\x08\x00\x12\x03abc")
    with pytest.raises(NetworkError, match="holds no key"):
        Signer(path)
