"""The household as a device keeps it: on its disk for its owner alone, and changed by those who may."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any, cast

import pytest
from hivemind.p2p import P2P, PeerID

from peer.network import household as households
from peer.network.door import Door
from peer.network.doorkeeper import Doorkeeper
from peer.network.folder import IDENTITY
from peer.network.household import Home, HouseholdKeeper
from peer.network.household_file import household_path, keep_household, kept_household, mark_path
from peer.network.identity_key import make_identity
from peer.network.signatures import Signer
from peer.swarm.household import (
    HouseholdError,
    admitting,
    ejecting,
    is_ejected,
    is_member,
    locked,
    members,
    merged,
    proof_against,
    unlocked,
)
from peer.wire import Notice, Role
from peer.wire_household import Household
from tests.households import signer

RUN, RUN_ID = "cellmind", "cellmind-1a2b3c4d5e6f"
SIGNERS = [signer() for _ in range(3)]
PEERS = [signer.peer for signer in SIGNERS]
ME, DESK, GUEST = (PeerID.from_base58(peer) for peer in PEERS)
KEYS = [f"{number:02x}" * 32 for number in range(4)]
HOME = locked(None, RUN_ID, PEERS, KEYS[0], SIGNERS[1])
INVITE = Household(run_id=RUN_ID, epoch=1, key=KEYS[0])


def kept(folder: Path) -> Household | None:
    return kept_household(folder, RUN, lambda line: pytest.fail(line))


def test_what_is_kept_is_for_its_owner_alone_from_its_first_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_household(tmp_path, RUN, HOME)
    assert kept(tmp_path) == HOME
    assert household_path(tmp_path, RUN).stat().st_mode & 0o777 == 0o600
    modes: list[int] = []

    def full(file: int) -> None:
        modes.extend(path.stat().st_mode & 0o777 for path in tmp_path.glob(".*.part"))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        keep_household(tmp_path, RUN, unlocked(HOME, SIGNERS[0]))
    assert modes == [0o600] and kept(tmp_path) == HOME and len(list(tmp_path.iterdir())) == 2


def test_one_that_others_can_read_is_mended_and_told_of(tmp_path: Path) -> None:
    keep_household(tmp_path, RUN, HOME)
    household_path(tmp_path, RUN).chmod(0o644)
    said: list[str] = []
    assert kept_household(tmp_path, RUN, said.append) == HOME
    assert "could read" in said[0] and household_path(tmp_path, RUN).stat().st_mode & 0o777 == 0o600
    assert kept(tmp_path) == HOME, "and is fine from then on"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (HOME.model_dump_json()[:-20], "no whole household"),
        ("", "no whole household"),
        (HOME.model_copy(update={"key": "ba" * 32}).model_dump_json(), "its key is none that its changes tell of"),
        (HOME.model_copy(update={"key": "ab"}).model_dump_json(), "no whole household"),
        (HOME.model_copy(update={"run_id": "club-1a2b3c4d5e6f"}).model_dump_json(), "of another run"),
    ],
)
def test_one_that_cannot_be_used_is_told_of_with_the_way_in(tmp_path: Path, content: str, said: str) -> None:
    path = household_path(tmp_path, RUN)
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(HouseholdError, match=said) as refused:
        kept(tmp_path)
    assert "invite" in str(refused.value) and f"rm {path} {mark_path(tmp_path, RUN)}" in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1 and KEYS[0] not in str(refused.value)


def test_one_that_is_gone_opens_nothing_until_its_owner_says_so_or_an_invite_brings_another(tmp_path: Path) -> None:
    keep_household(tmp_path, RUN, HOME)
    household_path(tmp_path, RUN).unlink()
    with pytest.raises(HouseholdError, match=r"is gone. Come in by an invite.*rm .*/cellmind\.locked"):
        Home(RUN, tmp_path, lambda line: None, None)
    assert Home(RUN, tmp_path, lambda line: None, HOME).household == HOME
    mark_path(tmp_path, RUN).unlink()
    assert Home(RUN, tmp_path, lambda line: None, None).household is None
    keep_household(tmp_path, RUN, unlocked(HOME, SIGNERS[0]))
    household_path(tmp_path, RUN).unlink()
    assert kept(tmp_path) is None, "it was open"


class Device:
    """A device that trains with two others."""

    def __init__(self, folder: Path, household: Household | None):
        self.folder, self.door, self.keys = folder, Door(), 0
        self.door.set(household)
        self.notices = [
            Notice(peer=peer, name="x", address="", role=Role.TRAINING, run_id=RUN_ID, household="")
            for peer in PEERS[1:]
        ]
        self.keeper = HouseholdKeeper(
            RUN,
            PEERS[0],
            folder,
            self.door,
            household,
            SIGNERS[0],
            run_id=lambda: RUN_ID,
            others=lambda: self.notices,
            has_new_key=self._has_new_key,
        )

    def _has_new_key(self) -> None:
        self.keys += 1


def test_what_its_owner_wants_counts_once_it_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(tmp_path, None)
    monkeypatch.setattr(households, "keep_household", full_disk)
    with pytest.raises(OSError, match="No space"):
        device.keeper.lock()
    assert device.keeper.household is None and device.door.lock is None and not device.keys
    monkeypatch.undo()
    household = device.keeper.lock()
    assert set(members(household)) == set(PEERS) and kept(tmp_path) == household
    assert device.door.lock is not None and device.keys == 1
    assert device.keeper.let_in("New") == kept(tmp_path) and device.keys == 1


def test_whoever_comes_in_after_the_owner_was_asked_gets_no_key(tmp_path: Path) -> None:
    assert set(members(Device(tmp_path, None).keeper.lock(among=[PEERS[1]]))) == set(PEERS[:2])


def test_what_others_know_counts_at_once_and_is_kept_when_the_disk_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, newer = Device(tmp_path, HOME), ejecting(HOME, PEERS[2], KEYS[1], SIGNERS[1])
    monkeypatch.setattr(households, "keep_household", full_disk)
    device.keeper.take(newer, DESK)
    assert device.keeper.household == newer and device.door.lock is not None and device.door.lock.epoch == 2
    with pytest.raises(OSError, match="No space"):
        device.keeper.keep()
    monkeypatch.undo()
    device.keeper.keep()
    assert kept(tmp_path) == newer


def test_the_door_is_kept_though_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device, asked = Device(tmp_path, HOME), []

    class Connections:
        async def list_peers(self) -> list[Any]:
            asked.append(True)
            return []

    monkeypatch.setattr(households, "keep_household", full_disk)
    device.keeper.take(ejecting(HOME, PEERS[2], KEYS[1], SIGNERS[1]), DESK)
    asyncio.run(Doorkeeper(cast(P2P, Connections()), device.door, device.keeper).take_a_turn())
    assert asked, "who is connected is looked at all the same"


def test_an_open_run_is_not_locked_without_who_has_trained_here_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered = ejecting(HOME, PEERS[2], KEYS[1], SIGNERS[1])
    device = Device(tmp_path, None)
    device.keeper.look()
    later = time.monotonic() + households.COMPANY_SECONDS + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    device.keeper.take(offered, DESK)
    assert device.keeper.household is None and not device.keys
    assert device.keeper.left_out == [PEERS[2]], "which its user is told"
    device.keeper.take(HOME, DESK)
    assert device.keeper.household == HOME


def test_a_thousand_made_up_devices_keep_no_honest_one_from_locking(tmp_path: Path) -> None:
    device = Device(tmp_path, None)
    honest = list(device.notices)
    for number in range(households.MOST_TRAINED_WITH):
        device.notices[:] = [honest[0].model_copy(update={"peer": f"stranger{number}"})]
        device.keeper.look()
    device.notices[:] = honest
    device.keeper.take(HOME, DESK)
    assert device.keeper.household == HOME


def full_disk(*_: Any) -> None:
    raise OSError(28, "No space left on device")


def test_a_household_of_another_run_or_of_a_stranger_is_not_taken(tmp_path: Path) -> None:
    device = Device(tmp_path, ejecting(HOME, PEERS[2], KEYS[1], SIGNERS[0]))
    before = device.keeper.household
    device.keeper.take(unlocked(HOME, SIGNERS[2]), GUEST)
    device.keeper.take(locked(None, "cellmind-f6e5d4c3b2a1", PEERS, KEYS[2], SIGNERS[1]), DESK)
    assert device.keeper.household == before and not device.keys


def test_what_its_author_has_not_signed_is_not_taken(tmp_path: Path) -> None:
    """Whoever hands us a household cannot speak in another's place, nor change what was said."""
    device, sent_away = Device(tmp_path, HOME), ejecting(HOME, PEERS[2], KEYS[1], SIGNERS[1])
    [lock, eject] = sent_away.changes
    others = eject.model_copy(update={"counts": ((PEERS[0], 2),)})
    by_me = eject.model_copy(update={"author": PEERS[0]})
    by_none = eject.model_copy(update={"signature": "00" * 256})
    no_key = eject.model_copy(update={"identity": "00" * 256})
    elsewhere = eject.model_copy(update={"run_id": "cellmind-f6e5d4c3b2a1"})
    for forged in (others, by_me, by_none, no_key, elsewhere):
        forged.__dict__.pop("said"), forged.__dict__.pop("id", None)  # which the copy has from the true one
        device.keeper.take(sent_away.model_copy(update={"changes": (lock, forged)}), GUEST)
        assert device.keeper.household == HOME
    device.keeper.take(sent_away, GUEST)
    assert device.keeper.household == sent_away


def test_a_member_that_was_away_is_told_by_others_what_an_ejected_one_made_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """We meet the guest first, which the desk has ejected; it ejects the desk, and lets somebody in."""
    device, new = Device(tmp_path, HOME), signer()
    made_up = admitting(ejecting(HOME, PEERS[1], KEYS[2], SIGNERS[2]), new.peer, SIGNERS[2])
    device.keeper.take(made_up, GUEST)
    assert set(members(device.keeper.household)) == {PEERS[0], PEERS[2], new.peer}
    assert device.door.lock is not None
    device.door.proved.update((GUEST, PeerID.from_base58(new.peer)))
    true = ejecting(HOME, PEERS[2], KEYS[1], SIGNERS[1])
    before = device.keeper.household
    device.keeper.take(true, DESK)
    assert device.keeper.household == before, "others have had no time to agree with the guest"
    later = time.monotonic() + households.SETTLED_SECONDS + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    device.keeper.take(true, DESK)
    ours = device.keeper.household
    assert ours is not None and members(ours) == [PEERS[0]], "the two that ejected each other are both out"
    assert ours.key not in (KEYS[1], KEYS[2]) and kept(tmp_path) == ours


def test_who_comes_in_by_the_key_asks_until_a_member_has_made_it_one(tmp_path: Path) -> None:
    device = Device(tmp_path, INVITE)
    assert not device.keeper.comes_in, "who only looks becomes no member"
    device.keeper.come_in()
    assert device.keeper.comes_in and device.door.lock is not None
    device.keeper.take(HOME, DESK)
    assert device.keeper.household == INVITE, "which has not proved to have the key"
    device.door.proved.add(DESK)
    with_me = admitting(ejecting(HOME, PEERS[0], KEYS[0], SIGNERS[1]), PEERS[0], SIGNERS[1], has_key=True)
    device.door.set(with_me)
    device.keeper.household = INVITE.model_copy(update={"epoch": 2})
    assert device.door.lock is not None
    device.door.proved.add(DESK)
    device.keeper.take(with_me, DESK)
    assert is_member(kept(tmp_path), PEERS[0]) and not device.keeper.comes_in


def test_strangers_hand_no_household_to_a_locked_run(tmp_path: Path) -> None:
    device, stranger = (
        Device(tmp_path, ejecting(HOME, PEERS[2], KEYS[1], SIGNERS[1])),
        PeerID.from_base58(signer().peer),
    )
    assert device.keeper.hears(DESK) and device.keeper.hears(GUEST) and not device.keeper.hears(stranger)
    assert device.door.lock is not None
    device.door.proved.add(stranger)
    assert device.keeper.hears(stranger), "who has the key"
    assert Device(tmp_path, unlocked(HOME, SIGNERS[0])).keeper.hears(stranger)


def test_a_member_welcomes_whoever_has_the_key_of_now(tmp_path: Path) -> None:
    device, new = Device(tmp_path, HOME), PeerID.from_base58(signer().peer)
    device.keeper.welcome(new)
    assert device.keeper.household == HOME
    assert device.door.lock is not None  # which is looked at before there can be a proof
    device.door.proved.add(new)
    device.keeper.welcome(new)
    assert is_member(kept(tmp_path), new.to_base58()) and not device.keys


def test_an_ejected_device_is_shown_so_and_keeps_its_door_shut(tmp_path: Path) -> None:
    device = Device(tmp_path, HOME)
    now = ejecting(HOME, PEERS[0], KEYS[1], SIGNERS[1])
    device.keeper.take(proof_against(now, PEERS[0]), DESK)
    assert device.keeper.is_ejected and is_ejected(kept(tmp_path), PEERS[0])
    assert device.door.lock is not None and device.door.lock.epoch == 1
    device.keeper.come_in()
    assert device.keeper.is_ejected
    device.keeper.be_let_in(admitting(now, PEERS[0], SIGNERS[1]))
    assert not device.keeper.is_ejected and device.door.lock.epoch == 2
    device.keeper.take(proof_against(now, PEERS[0]), DESK)
    assert not device.keeper.is_ejected, "by a member that was away since before we were let in again"


def test_an_ejected_device_is_let_in_by_its_own_household_alone(tmp_path: Path) -> None:
    """A stranger would get the run that it has, and nobody would have looked at a number."""
    device, new = Device(tmp_path, HOME), signer()
    now = ejecting(HOME, PEERS[0], KEYS[1], SIGNERS[1])
    device.keeper.take(proof_against(now, PEERS[0]), DESK)
    without_guest = ejecting(HOME, PEERS[2], KEYS[2], SIGNERS[1])
    before = device.keeper.household
    for offered in (
        locked(None, RUN_ID, [PEERS[0]], KEYS[3], new),
        locked(None, "cellmind-f6e5d4c3b2a1", [PEERS[0]], KEYS[3], new),
        HOME,
        without_guest,
    ):
        with pytest.raises(HouseholdError, match="another household than the one that it was ejected from"):
            device.keeper.be_let_in(offered)
        assert device.keeper.household == before
    device.keeper.be_let_in(admitting(now, PEERS[0], SIGNERS[1]))
    assert not device.keeper.is_ejected


def test_an_invite_newer_than_what_is_kept_lets_in_and_an_older_one_changes_nothing(tmp_path: Path) -> None:
    keep_household(tmp_path, RUN, HOME)
    newer = Household(run_id=RUN_ID, epoch=2, key=KEYS[1])
    home = Home(RUN, tmp_path, pytest.fail, newer)
    assert home.household == newer, "who was in by the old key may be out by now"
    home.look_again(None)
    assert home.household == newer
    now = ejecting(HOME, PEERS[2], KEYS[1], SIGNERS[1])
    keep_household(tmp_path, RUN, now)
    home.look_again(None)
    assert home.household == now and home.door.lock is not None and home.door.lock.epoch == 2
    assert Home(RUN, tmp_path, pytest.fail, INVITE).household == now, "the line of the first start, once more"


def test_an_invite_of_another_lock_of_the_run_counts_however_often_ours_was_changed(tmp_path: Path) -> None:
    """Two halves of a run were locked apart, and this device is to come over to the other one."""
    ours, theirs = ejecting(HOME, PEERS[2], KEYS[1], SIGNERS[1]), locked(None, RUN_ID, PEERS[2:], KEYS[2], SIGNERS[2])
    for kept_now in (ours, unlocked(ours, SIGNERS[0])):
        keep_household(tmp_path, RUN, kept_now)
        invited = Household(run_id=RUN_ID, epoch=theirs.epoch, key=theirs.key)
        home = Home(RUN, tmp_path, pytest.fail, invited)
        home.look_again(home.household)
        assert home.household == invited and kept(tmp_path) == kept_now, "until somebody has let it in"


def test_one_of_before_changes_were_signed_is_told_of(tmp_path: Path) -> None:
    path = household_path(tmp_path, RUN)
    path.write_text(json.dumps({"run_id": RUN_ID, "epoch": 1, "key": KEYS[0], "standing": {PEERS[0]: 1}}))
    path.chmod(0o600)
    with pytest.raises(HouseholdError, match=r"older version.*rm .*\.household .*\.locked, and lock the run"):
        kept(tmp_path)


def test_who_was_let_into_another_run_of_that_name_goes_on_in_it(tmp_path: Path) -> None:
    keep_household(tmp_path, RUN, HOME)
    home = Home(RUN, tmp_path, pytest.fail, None)
    other = locked(None, "cellmind-f6e5d4c3b2a1", PEERS, KEYS[1], SIGNERS[1])
    keep_household(tmp_path, RUN, other)
    home.look_again(other)
    assert home.household == other and home.door.lock is not None and home.door.lock.run_id == other.run_id
    with pytest.raises(HouseholdError, match=r"the invite is for run cellmind-1a.*--checkpoints"):
        Home(RUN, tmp_path, pytest.fail, HOME)


def test_a_fresh_invite_lets_in_who_was_ejected_whatever_it_had_changed_for_itself(tmp_path: Path) -> None:
    make_identity(tmp_path / IDENTITY)
    me = Signer(tmp_path / IDENTITY)
    ours = locked(None, RUN_ID, [me.peer], KEYS[0], SIGNERS[1])
    now = ejecting(ours, me.peer, KEYS[1], SIGNERS[1])
    fresh = Household(run_id=RUN_ID, epoch=2, key=KEYS[1])
    unaware = unlocked(ours, me)
    for before in (ours, unaware, merged(unaware, proof_against(now, me.peer), KEYS[2], me)):
        keep_household(tmp_path, RUN, before)
        home = Home(RUN, tmp_path, pytest.fail, fresh)
        home.look_again(home.household)
        assert home.household == fresh and home.door.lock is not None and home.door.lock.epoch == 2
    keep_household(tmp_path, RUN, merged(ours, proof_against(now, me.peer), KEYS[2], me))
    with pytest.raises(HouseholdError, match=r"no longer the household's.*ask for a new invite, or leave it out"):
        Home(RUN, tmp_path, pytest.fail, INVITE)
    assert is_ejected(Home(RUN, tmp_path, pytest.fail, None).household, me.peer), "without one it knocks"
