"""What an owner types beside a running peer, and what the peer does of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

import pytest

from peer.__main__ import main
from peer.command_line import parse_arguments
from peer.device.control import Control, ControlError
from peer.joining import owner_commands
from peer.joining.owner_commands import LOCKED, OwnerCommands
from peer.joining.owner_requests import OwnerRequests
from peer.network.handle import Network
from peer.network.node import View
from peer.swarm.household import HouseholdError, ejecting, fingerprint, unlocked
from peer.swarm.knocking import Knock, KnockRefused
from peer.wire import Notice, Role
from peer.wire_household import Household
from tests.households import Named
from tests.households import household as household_of
from tests.tiny import stand_in

RUN_ID = "cellmind-1a2b3c4d5e6f"
ME, LAPTOP, PHONE, AWAY = "M" * 12, "L" * 12, "P" * 12, "T" * 12
HOME = household_of(RUN_ID, ME, LAPTOP, ejected=(PHONE,), again=(AWAY,))


def notice(peer_id: str, name: str, host: str, run_id: str = RUN_ID) -> Notice:
    address = f"/ip4/{host}/tcp/1/p2p/{peer_id}"
    return Notice(peer=peer_id, name=name, address=address, role=Role.TRAINING, run_id=run_id)


HERE = [
    notice(LAPTOP, "laptop", "10.0.0.2"),
    notice(PHONE, "phone", "10.0.0.3"),
    notice("B" * 12, "bystander", "10.0.0.4", "cellmind-000000000000"),
]


class Fake:
    """A network that does what it is asked, or fails with `problem`; it keeps what it was asked for."""

    def __init__(self, household: Household | None = None, run_id: str = RUN_ID):
        self.household, self.run_id, self.peer = household, run_id, ME
        self.view, self.names, self.asks_in = View(notices=HERE), {AWAY: "tablet"}, False
        self.asked: list[Any] = []
        self.problem: Exception | None = None

    def _begin(self, *asked: str, result: object = None) -> Any:
        def wait() -> object:
            if self.problem is not None:
                raise self.problem
            self.asked.append(asked)
            return result

        return stand_in(wait=wait)

    def lock(self, among: Sequence[str]) -> Any:
        return self._begin("lock", *among)

    def unlock(self) -> Any:
        return self._begin("unlock")

    def eject(self, peer_id: str) -> Any:
        assert self.household is not None
        return self._begin("eject", peer_id, result=ejecting(self.household, peer_id, "cd" * 32, Named(ME)))

    def admit(self, number: str) -> Any:
        return self._begin("admit", number, result=Knock("phone", "10.0.0.3", number, PHONE, 0.0))


@pytest.fixture
def network() -> Any:
    return Fake()


@pytest.fixture
def said(network: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The lines that the owner is told, where a peer runs in `tmp_path`."""
    monkeypatch.setattr(owner_commands, "runs_in", lambda folder: True)
    control = Control(tmp_path, OwnerRequests(network, "desk").actions)
    yield []
    control.stop()


def commands(folder: Path, said: list[str]) -> OwnerCommands:
    return OwnerCommands(folder, said.append)


def test_who_gets_the_key_is_named_and_confirmed(
    network: Any, said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = iter(["", "no", "y"])
    monkeypatch.setattr("sys.stdin", stand_in(isatty=lambda: True))
    monkeypatch.setattr("builtins.input", lambda question: next(typed))
    for _ in range(2):
        commands(tmp_path, said).lock(confirmed=False)
        assert said[-1] == "it stays open" and not network.asked
    commands(tmp_path, said).lock(confirmed=False)
    assert network.asked == [("lock", LAPTOP, PHONE)]
    assert said[-6:] == [
        f"run {RUN_ID} gets a key, which goes to 3 device(s):",
        "    desk (this one)",
        "    laptop (10.0.0.2)",
        "    phone (10.0.0.3)",
        "from then on nobody else can read, join or train it",
        LOCKED,
    ]


def test_who_does_not_take_the_key_is_named(
    network: Any, said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was parted from the others meanwhile, or somebody trains beside it whom the owner has not named."""
    monkeypatch.setattr(owner_commands, "KEY_SECONDS", 0.2)
    monkeypatch.setattr(owner_commands, "LOOK_SECONDS", 0.01)
    network.lock = lambda among: stand_in(wait=lambda: lock())

    def lock() -> None:
        network.household = household_of(RUN_ID, ME, LAPTOP, PHONE)
        laptop = HERE[0].model_copy(update={"household": fingerprint(network.household)})
        network.view = View(notices=[laptop, *HERE[1:]])

    commands(tmp_path, said).lock(confirmed=True)
    assert said[-2] == LOCKED
    assert said[-1].startswith("phone (10.0.0.3) has not taken the key: ")


def test_nothing_is_locked_where_nobody_can_be_asked(network: Any, said: list[str], tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="add --yes, or use a terminal"):
        commands(tmp_path, said).lock(confirmed=False)
    assert not network.asked
    commands(tmp_path, said).lock(confirmed=True)
    assert network.asked == [("lock", LAPTOP, PHONE)]


def test_who_was_a_member_before_and_is_away_is_named_as_well() -> None:
    opened = Fake(HOME.model_copy(update={"epoch": 2, "key": ""}))
    shown = OwnerRequests(cast(Network, opened), "desk").show([])
    assert [device["name"] for device in shown["others"]] == ["laptop", "phone", "tablet"]


def test_who_comes_in_after_the_owner_was_told_gets_no_key(network: Any) -> None:
    requests = OwnerRequests(network, "desk")
    with pytest.raises(ControlError, match=r"phone \(10\.0\.0\.3\) has come in meanwhile"):
        requests.lock([LAPTOP])
    assert not network.asked


@pytest.mark.parametrize(
    ("household", "run_id", "problem"),
    [(HOME, RUN_ID, "locked already"), (None, "", "in no run yet")],
    ids=["locked", "no run"],
)
def test_what_cannot_be_locked_is_not(
    household: Household | None, run_id: str, problem: str, network: Any, said: list[str], tmp_path: Path
) -> None:
    network.household, network.run_id = household, run_id
    with pytest.raises(ControlError, match=problem):
        commands(tmp_path, said).lock(confirmed=True)
    assert not network.asked


def test_a_number_lets_a_device_in(network: Any, said: list[str], tmp_path: Path) -> None:
    network.household = HOME
    commands(tmp_path, said).admit("4827")
    assert (network.asked, said) == ([("admit", "4827")], ["phone (10.0.0.3) is let in"])
    network.problem = KnockRefused("nobody knocks with 4827")
    with pytest.raises(ControlError, match="nobody knocks with 4827"):
        commands(tmp_path, said).admit("4827")


def test_a_full_disk_leaves_all_as_it_was_and_that_is_said(network: Any, said: list[str], tmp_path: Path) -> None:
    network.household, network.problem = HOME, OSError(28, "No space left on device", "checkpoints/.x.part")
    for ask in (commands(tmp_path, said).unlock, lambda: commands(tmp_path, said).eject("laptop")):
        with pytest.raises(ControlError, match=r"^nothing has changed: .* cannot be kept: No space left on device$"):
            ask()
    assert not said


def test_a_member_is_ejected_by_its_name_though_it_is_away(network: Any, said: list[str], tmp_path: Path) -> None:
    network.household = HOME
    for name, peer_id in (("laptop", LAPTOP), ("Laptop", LAPTOP), ("tablet", AWAY), (AWAY, AWAY)):
        commands(tmp_path, said).eject(name)
        assert network.asked[-1] == ("eject", peer_id)
    assert said[0].startswith("laptop (10.0.0.2) is ejected")
    assert said[0].endswith("members are this device, tablet (away)")
    for nobody in ("phone", "desk", "bystander", ""):  # ejected already; this one; no member
        with pytest.raises(ControlError, match=r"members are: laptop \(10\.0\.0\.2\), tablet \(away\)"):
            commands(tmp_path, said).eject(nobody)
    with pytest.raises(ControlError, match="this is the device itself"):
        commands(tmp_path, said).eject("desk")
    network.names = {AWAY: "laptop"}
    with pytest.raises(ControlError, match=f"2 members are called 'laptop': name one by its id: .*{AWAY}"):
        commands(tmp_path, said).eject("laptop")


EJECTED = household_of(RUN_ID, LAPTOP, ejected=(ME,))
OPENED = unlocked(HOME, Named(ME))


@pytest.mark.parametrize(
    ("household", "knocks", "problem"),
    [
        (EJECTED, True, "this device was ejected, and changes nothing of the household"),
        (None, True, "this device is in no run yet: it asks to be let in"),
        (None, False, "the run is open: .*lock it first, by python -m peer --lock"),
        (OPENED, False, "the run is open: .*lock it first, by python -m peer --lock"),
    ],
)
def test_who_is_not_in_a_locked_run_lets_nobody_in_and_ejects_nobody(
    household: Household | None, knocks: bool, problem: str, network: Any, said: list[str], tmp_path: Path
) -> None:
    network.household, network.asks_in = household, knocks
    for ask in (lambda: commands(tmp_path, said).admit("4827"), lambda: commands(tmp_path, said).eject("laptop")):
        with pytest.raises(ControlError, match=problem):
            ask()
    assert not network.asked and not said
    for ask in (lambda: commands(tmp_path, said).unlock(), lambda: commands(tmp_path, said).lock(confirmed=True)):
        if knocks:
            with pytest.raises(ControlError, match=r"was ejected|asks to be let in"):
                ask()
    assert not network.asked and not said


def test_a_run_is_opened_and_what_fails_is_said(network: Any, said: list[str], tmp_path: Path) -> None:
    network.household = HOME
    commands(tmp_path, said).unlock()
    assert network.asked == [("unlock",)] and "the run is open" in said[-1]
    network.problem = HouseholdError("the household has changed 256 times")
    with pytest.raises(ControlError, match=r"^the household has changed 256 times$"):
        commands(tmp_path, said).unlock()
    network.household, network.problem = None, None
    with pytest.raises(ControlError, match=r"^the run is open already$"):
        commands(tmp_path, said).unlock()
    assert len(network.asked) == 1


def test_without_a_running_peer_the_owner_is_told_to_start_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["peer", "--admit", "4827", "--checkpoints", str(tmp_path)])
    monkeypatch.setattr("peer.__main__.keep_private", lambda: None)  # which would outlast this test
    assert main() == 2
    assert re.search("start one with .*-m peer --join", capsys.readouterr().err)


def test_who_knocks_is_told_that_the_run_is_locked_where_it_wants_the_state(
    network: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    network.household, network.asks_in = None, True
    control = Control(tmp_path, OwnerRequests(network, "desk").actions)
    monkeypatch.setattr("sys.argv", ["peer", "--sync", "--checkpoints", str(tmp_path)])
    monkeypatch.setattr("peer.__main__.keep_private", lambda: None)
    monkeypatch.setattr("peer.__main__.runs_in", lambda folder: True)
    assert main() == 2
    control.stop()
    assert "the run is locked, and the peer that runs here asks to be let in" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        (["--admit", "48271"], "'48271' is no number of a knock: those have four digits"),
        (["--admit", "४८२७"], "four digits"),
        (["--lock", "--unlock"], "not allowed with"),
        (["--lock", "--join"], "ask the peer that runs here: type them beside it, without --join"),
        (["--eject", "phone", "--yes"], "--yes is for --lock"),
        (["--private"], "--private is for the founding of a run: add --join"),
    ],
)
def test_what_does_not_go_together_is_said(typed: list[str], problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_arguments(typed)
    assert ended.value.code == 2
    assert problem in capsys.readouterr().err
