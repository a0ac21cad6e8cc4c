"""The joining of a run: what a device decides by what it sees, and the state that it takes, from a real donor."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from minigpt import checkpoint
from minigpt.checkpoint.manifest import CheckpointError, HeldOutLoss, Position
from minigpt.model import MiniGPT
from minigpt.settings import Settings, run_id
from peer.device.processes import Stopped
from peer.joining import find_run, found_run, presence, take_state
from peer.joining.errors import JoinError
from peer.joining.find_run import decide, donors, join_or_found
from peer.joining.found_run import found, found_model
from peer.joining.invite import Invite
from peer.joining.join import join
from peer.joining.presence import Presence
from peer.joining.run import keep_tokenizer
from peer.joining.take_state import sync, take_run
from peer.joining.wanted_run import Wanted
from peer.network.address import Address
from peer.network.handle import Network
from peer.network.meeting import ANOTHER_DEVICE
from peer.network.node import View
from peer.state.fetching import TransferError
from peer.swarm.membership import Start
from peer.wire import Notice, Role
from tests.tiny import LINES, SETTINGS, save_model, write_jsonl

GIVEN = "/ip4/192.168.0.10/tcp/23457/p2p/QmZAmAb3czWsDcRtVyp34XrFKson3BrVkLTB4RoU7yKsw9"
GIVEN_PEER = Address.parse(GIVEN).peer
RUN_ID, OTHER_RUN_ID = "cellmind-6f74de27adbc", "cellmind-0123456789ab"
ME = Notice(peer="M" * 12, name="phone", address=f"/ip4/10.0.0.9/tcp/23457/p2p/{'M' * 12}", role=Role.LOOKING)
DESK = Notice(peer="D" * 12, name="desk", address="", role=Role.TRAINING, run_id=RUN_ID, trained=100)
PLAIN = Wanted(SETTINGS, Path("checkpoints"))
INVITED = Wanted(SETTINGS, Path("checkpoints"), given=(GIVEN,), invite=Invite(GIVEN, "cellmind", RUN_ID))
SOON, LATE = 1.0, 60.0  # seconds since it began to look


class Said:
    """The user's display, with no terminal: it keeps the lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)

    @contextmanager
    def bytes(self, what: str, total: int) -> Iterator[Callable[[int], None]]:
        yield lambda done: None


def presence_where(view: View | Callable[[], View], said: Said, me: Notice = ME, **network: Any) -> Presence:
    """This device where that is what the notice board shows; `network` is what else can be done there."""
    see = view if callable(view) else lambda: view
    open_run = {"household": None, "ask_in": lambda wanted: None}
    faked: Any = SimpleNamespace(post=lambda notice: see(), peer=me.peer, view=see(), **{**open_run, **network})
    display: Any = said
    stop: Any = SimpleNamespace(received=False)
    return Presence(faked, me, display, stop)


@pytest.fixture(autouse=True)
def nobody_dawdles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(take_state, "RETRY_SECONDS", 0.0)
    monkeypatch.setattr(presence, "POLL_SECONDS", 0.005)


def seen(*notices: Notice, **more: Any) -> View:
    return View(notices=list(notices), **{"searched": True, **more})


def like(notice: Notice, peer: str, **changes: Any) -> Notice:
    return notice.model_copy(update={"peer": peer, **changes})


# -- whether to join or to found


@pytest.mark.parametrize(
    ("view", "elapsed", "start"),
    [
        (seen(), SOON, Start.LOOK),
        (seen(), LATE, Start.FOUND),
        (seen(searched=False), LATE, Start.LOOK),
        (seen(heard={GIVEN: "desk"}), find_run.LOOK_SECONDS + 1, Start.LOOK),
        (seen(heard={GIVEN: "desk"}), find_run.MEET_SECONDS + 1, Start.FOUND),
        (seen(DESK), SOON, Start.JOIN),
        (seen(like(DESK, "D", role=Role.RELAYING)), SOON, Start.JOIN),
        (seen(like(DESK, "D", role=Role.FOUNDING)), LATE, Start.WAIT),
        (seen(like(ME, "A")), LATE, Start.WAIT),
        (seen(like(ME, "Z")), LATE, Start.FOUND),
        (seen(like(DESK, "D", reachable=False)), LATE, Start.JOIN),
    ],
    ids=[
        "nobody yet",
        "nobody",
        "nobody had time to be found",
        "somebody was heard of",
        "somebody who was heard of does not come",
        "somebody trains",
        "somebody keeps the state for others",
        "somebody founds",
        "another one looks, and is to found",
        "another one looks, and leaves it to us",
        "somebody behind a firewall, whom we let in",
    ],
)
def test_what_is_on_the_notice_board_decides(view: View, elapsed: float, start: Start) -> None:
    assert decide(ME, PLAIN, view, elapsed) is start


def test_who_does_not_prove_to_be_there_is_nobody_to_join_or_to_wait_for_long() -> None:
    ghosts = [like(DESK, "D"), like(DESK, "E", role=Role.FOUNDING), like(ME, "A")]
    view = seen(unproved=ghosts)
    assert decide(ME, PLAIN, view, find_run.LOOK_SECONDS + 1) is Start.LOOK, "they may be about to"
    assert decide(ME, PLAIN, view, find_run.MEET_SECONDS + 1) is Start.FOUND
    assert donors(ME, PLAIN, view) == []
    assert decide(ME, PLAIN, seen(like(DESK, "F"), unproved=ghosts), SOON) is Start.JOIN


def test_two_firewalls_are_an_error_once_nobody_else_came() -> None:
    me, shut = ME.model_copy(update={"reachable": False}), like(DESK, "D", reachable=False)
    assert decide(me, PLAIN, seen(shut), SOON) is Start.LOOK
    with pytest.raises(JoinError, match=r"desk cannot be reached from this device.*Let TCP port 23457 in"):
        decide(me, PLAIN, seen(shut), LATE)
    with pytest.raises(JoinError, match="desk cannot be reached from this device"):
        decide(me, PLAIN, seen(unproved=[shut]), LATE)
    assert decide(me, PLAIN, seen(unproved=[shut]), SOON) is Start.LOOK
    newcomer = like(DESK, "N", role=Role.JOINING)
    assert decide(me, PLAIN, seen(shut, newcomer), LATE) is Start.LOOK, "it will have the state, and can be reached"


def test_an_address_that_does_not_answer_founds_nothing() -> None:
    wanted = Wanted(SETTINGS, Path("checkpoints"), given=(GIVEN,))
    assert decide(ME, wanted, seen(), SOON) is Start.LOOK
    view = seen(refused={GIVEN: "connection refused"})
    with pytest.raises(JoinError, match=r"given address \(/ip4/.*: connection refused\).*or leave --initial-peers out"):
        decide(ME, wanted, view, LATE)
    assert decide(ME, wanted, seen(connected=[GIVEN_PEER]), LATE) is Start.FOUND, "it was a bootstrap node"
    assert decide(ME, wanted, seen(DESK), SOON) is Start.JOIN, "found without it"


def test_an_invite_means_one_run_and_one_device() -> None:
    met = {"connected": [GIVEN_PEER]}
    other = like(DESK, "E", name="tower", run_id=OTHER_RUN_ID, trained=1000)
    assert decide(ME, INVITED, seen(other, DESK, **met), SOON) is Start.JOIN
    assert [notice.name for notice in donors(ME, INVITED, seen(other, DESK))] == ["desk"]
    assert decide(ME, INVITED, seen(DESK), SOON) is Start.LOOK, "whose device it is has not been tried yet"
    assert decide(ME, INVITED, seen(DESK), LATE) is Start.JOIN, "it is off, and others have the run"
    assert decide(ME, INVITED, seen(other, **met), SOON) is Start.LOOK
    with pytest.raises(JoinError, match=f"for run {RUN_ID}, and tower trains {OTHER_RUN_ID} on this network"):
        decide(ME, INVITED, seen(other, **met), LATE)
    with pytest.raises(JoinError, match=r"at the address of the invite, 192\.168\.0\.10, another device answers"):
        decide(ME, INVITED, seen(DESK, refused={GIVEN: ANOTHER_DEVICE}), SOON)
    with pytest.raises(JoinError, match=r"nobody answers.*or ask for a new invite"):
        decide(ME, INVITED, seen(refused={GIVEN: "no answer"}), LATE)


def test_the_state_is_taken_from_who_is_furthest_and_within_reach() -> None:
    behind, same = like(DESK, "B", trained=50), like(DESK, "C", round=1)
    shut = like(DESK, "S", trained=1000, reachable=False)
    view = seen(behind, shut, same, DESK, like(ME, "A"))
    assert [notice.peer[0] for notice in donors(ME, PLAIN, view)] == ["S", "C", "D", "B"]
    assert [notice.peer[0] for notice in donors(like(ME, "M", reachable=False), PLAIN, view)] == ["C", "D", "B"]


def test_who_waits_says_for_what_and_once() -> None:
    founder = like(DESK, "D", role=Role.FOUNDING)
    views = [seen(heard={GIVEN: "desk"}), *[seen(founder)] * 5, seen(DESK)]
    said, board = Said(), iter([views[0], *views])
    assert join_or_found(presence_where(lambda: next(board), said), PLAIN) is Start.JOIN
    assert said.lines == [
        "looking for devices that train 'cellmind' on this network …",
        "found desk at 192.168.0.10",
        "another device is founding the run; waiting for it …",
    ]


@pytest.mark.parametrize("why", ["ctrl+c", "the time is over"])
def test_who_waits_can_be_ended(why: str, tmp_path: Path) -> None:
    nobody: Any = SimpleNamespace(post=lambda notice: seen(), peer=ME.peer, household=None)
    stop: Any = SimpleNamespace(received=why == "ctrl+c")
    display: Any = Said()
    deadline = None if stop.received else time.monotonic() + 0.1
    with pytest.raises(Stopped):
        join(Presence(nobody, ME, display, stop, deadline), Wanted(SETTINGS, tmp_path))


# -- what is used


def test_the_run_s_settings_are_used_unless_the_user_insists() -> None:
    theirs = Settings.model_validate({**SETTINGS.model_dump(), "data": {"speakers": True}})
    said: list[str] = []
    taken = PLAIN.settings_in(theirs, "run 'cellmind' of desk", said.append)
    assert taken.data.speakers and len(said) == 1
    assert said[0].startswith("the settings of run 'cellmind' of desk are used: data.speakers")
    assert PLAIN.settings_in(SETTINGS, "run 'cellmind' of desk", said.append) == SETTINGS and len(said) == 1
    with pytest.raises(JoinError, match=r"run 'cellmind' of desk does not fit your settings: data.speakers"):
        Wanted(SETTINGS, Path("checkpoints"), insists=True).settings_in(theirs, "run 'cellmind' of desk", said.append)


def test_a_tokenizer_that_changed_is_copied_again(tmp_path: Path) -> None:
    source, run_folder = tmp_path / "tokenizer.model", tmp_path / "cellmind"
    run_folder.mkdir()
    for content in (b"one", b"two"):
        source.write_bytes(content)
        assert keep_tokenizer(source, run_folder).read_bytes() == content
    assert [path.name for path in run_folder.iterdir()] == ["tokenizer.model"]


# -- founding


def settings_here(folder: Path, tokenizer_model: Path) -> Settings:
    """Settings of a device that has its text and a tokenizer."""
    document = SETTINGS.model_dump()
    document["training"]["dataset"]["path"] = write_jsonl(folder / "train.jsonl", LINES)
    document["tokenizer"]["model_path"] = tokenizer_model
    return Settings.model_validate(document)


def test_the_founder_writes_the_state_that_all_begin_with(
    tmp_path: Path, tokenizer_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(found_run, "RECOUNTS", 2)
    wanted, said = Wanted(settings_here(tmp_path, tokenizer_model), tmp_path / "checkpoints"), Said()
    me = presence_where(seen(like(ME, "Z", role=Role.FOUNDING)), said)
    run = found(me, wanted)
    assert run is not None and run.how == "founded" and me.me.role is Role.FOUNDING
    identity = run_id(wanted.settings, checkpoint.file_sha256(tokenizer_model))
    assert (run.start.progress.run_id, run.start.progress.round) == (identity, 0)
    assert said.lines[-1] == f"nobody trains 'cellmind' here yet: founded run {identity}"
    model = found_model(wanted.settings, run.start.vocab_size, identity)
    assert checkpoint.parameter_hash(model.state_dict()) == run.start.progress.version, "on every device the same"
    assert str(tmp_path) not in (run.start.folder / "settings.json").read_text(), "paths are nobody else's business"


@pytest.mark.parametrize("other", [like(ME, "A", role=Role.FOUNDING), DESK], ids=["founds as well", "trains"])
def test_who_is_outvoted_founds_nothing(
    other: Notice, tmp_path: Path, tokenizer_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(found_run, "RECOUNTS", 2)
    said = Said()
    wanted = Wanted(settings_here(tmp_path, tokenizer_model), tmp_path / "checkpoints")
    assert found(presence_where(seen(other), said), wanted) is None
    assert said.lines[-1] == "another device has founded the run meanwhile: joining it"
    assert not wanted.checkpoints.exists()


def test_paths_that_the_user_gave_and_that_are_not_there_are_said(tmp_path: Path, tokenizer_model: Path) -> None:
    settings = settings_here(tmp_path, tokenizer_model)
    me = presence_where(seen(), Said())
    settings.tokenizer.model_path.rename(tmp_path / "moved.model")
    try:
        with pytest.raises(JoinError, match=r"tokenizer.model_path is .*, which does not exist"):
            found(me, Wanted(settings, tmp_path / "checkpoints"))
    finally:
        (tmp_path / "moved.model").rename(settings.tokenizer.model_path)
    settings.training.dataset.path.unlink()
    with pytest.raises(JoinError, match=r"training.dataset.path is .*, which does not exist"):
        found(me, Wanted(settings, tmp_path / "checkpoints"))


# -- taking


def refuses(*_: object) -> None:
    raise TransferError("the donor does not answer")


def test_a_donor_that_fails_is_asked_again_and_one_that_left_is_not() -> None:
    said, board = Said(), iter([seen(), seen(DESK), seen(DESK), seen()])
    assert take_run(presence_where(lambda: next(board), said, fetch_manifest=refuses), PLAIN) is None
    assert said.lines == ["taking the state from desk: the donor does not answer; trying again"] * 2


def test_donors_that_only_fail_are_given_up() -> None:
    said = Said()
    with pytest.raises(JoinError, match=r"no state could be taken from the 1 device\(s\) that have one"):
        take_run(presence_where(seen(DESK), said, fetch_manifest=refuses), PLAIN)
    with pytest.raises(JoinError, match="no state could be taken from the devices that train"):
        sync(presence_where(seen(DESK), said, fetch_manifest=refuses), PLAIN)
    assert len(said.lines) == 2 * take_state.ATTEMPTS + 1


def test_a_donor_that_fails_is_left_for_another_one() -> None:
    said, asked = Said(), list[str]()
    other = like(DESK, "E", name="other", trained=99)

    def fails(peer: str, *_: object) -> None:
        asked.append(peer[0])
        raise TransferError("the donor does not answer")

    with pytest.raises(JoinError, match=r"from the 2 device\(s\)"):
        take_run(presence_where(seen(DESK, other), said, fetch_manifest=fails), PLAIN)
    assert asked == ["D", "E"] * (take_state.ATTEMPTS // 2)


def test_a_donor_of_another_run_than_the_invite_s_is_not_taken_from() -> None:
    said, board = Said(), iter([seen(), seen(DESK), seen()])
    other = SimpleNamespace(run_id=OTHER_RUN_ID)
    assert take_run(presence_where(lambda: next(board), said, fetch_manifest=lambda *_: other), INVITED) is None
    assert said.lines == [
        f"taking the state from desk: it gives run {OTHER_RUN_ID}, and the invite is for {RUN_ID}; trying again"
    ]


@pytest.mark.parametrize(
    ("impostor", "others", "chosen"),
    [
        ({"trained": 9000}, [{}, {}], "D"),  # two stand together
        ({"trained": 9000}, [{"trained": 101}, {"refuses": ("X" * 12,)}], "D"),  # or one has looked at it
        ({"trained": 9000, "refuses": ("D" * 12, "E" * 12)}, [{"refuses": ("X" * 12,)}, {"refuses": ("X" * 12,)}], "D"),
        ({"trained": 9000}, [{}], "X"),  # one against one: nobody can tell
    ],
)
def test_a_newcomer_takes_the_state_that_most_defend(
    impostor: dict[str, Any], others: list[dict[str, Any]], chosen: str
) -> None:
    notices = [like(DESK, letter * 12, **said) for letter, said in zip("DE", others)]
    notices.append(like(DESK, "X" * 12, name="impostor", **impostor))
    able = donors(ME, PLAIN, seen(*notices))
    assert find_run.most_defended(able, notices, {}).peer[0] == chosen


def test_who_only_wants_the_state_is_told_that_nobody_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find_run, "UNANSWERED_SECONDS", 0.2)
    with pytest.raises(JoinError, match="nobody trains 'cellmind' on this network; start python -m peer --join"):
        sync(presence_where(seen(), Said()), PLAIN)
    with pytest.raises(JoinError, match="nobody answers at the given address"):
        sync(presence_where(seen(), Said()), Wanted(SETTINGS, Path("checkpoints"), given=(GIVEN,)))


@contextmanager
def a_network(folder: Path, *known: str) -> Iterator[Network]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    network = Network(
        run="cellmind", name="", host="127.0.0.1", port=port, checkpoints=folder, report=print, addresses=known
    )
    try:
        yield network
    finally:
        network.stop()


@contextmanager
def a_device_that_trains(folder: Path, tokenizer_model: Path, model: MiniGPT) -> Iterator[Network]:
    """A real network part that gives a state of round 1, and a notice beside it that says so."""
    identity = run_id(SETTINGS, checkpoint.file_sha256(tokenizer_model))
    progress = checkpoint.read(save_model(folder, tokenizer_model, model, run_id=identity)).progress
    leave = threading.Event()
    with a_network(folder) as network:
        notice = Notice(
            peer=network.peer,
            name="desk",
            address=str(network.address),
            role=Role.TRAINING,
            run_id=identity,
            round=progress.round,
            trained=progress.samples,
            lineage=progress.lineage_or_version,
            sharing=True,
        )

        def train() -> None:
            while not leave.wait(0.2):
                network.post(notice)

        thread = threading.Thread(target=train)
        thread.start()
        try:
            yield network
        finally:
            leave.set()
            thread.join()


@contextmanager
def a_device_beside(donor: Network, folder: Path, said: Said) -> Iterator[Callable[[], Presence]]:
    """A device with a real network part that knows the donor; give what makes another presence of it there."""
    stop: Any = SimpleNamespace(received=False)
    display: Any = said
    with a_network(folder, str(donor.address)) as network:
        me = Notice(peer=network.peer, name="phone", address=str(network.address), role=Role.LOOKING)
        yield lambda: Presence(network, me, display, stop, time.monotonic() + 60.0)


@pytest.mark.lan
def test_a_state_is_taken_from_a_real_donor_and_gone_on_with(
    tmp_path: Path, tokenizer_model: Path, model: MiniGPT
) -> None:
    said = Said()
    settings, here = settings_here(tmp_path, tokenizer_model), tmp_path / "phone"
    donor = a_device_that_trains(tmp_path / "desk", tokenizer_model, model)
    with donor as desk, a_device_beside(desk, here, said) as present:
        wanted = Wanted(settings, here, given=(str(desk.address),))
        joining = present()
        run = join(joining, wanted)
        assert (run.how, run.has_text, joining.me.role) == ("joined", True, Role.JOINING)
        assert run.start.progress.round == 1 and joining.me.run_id == run.start.progress.run_id
        assert said.lines[-1] == f"joined run {run.start.progress.run_id} at round 1 through desk"
        assert checkpoint.parameter_hash(run.start.parameters()) == checkpoint.parameter_hash(model.state_dict())
        assert checkpoint.file_sha256(run.tokenizer_model) == checkpoint.file_sha256(tokenizer_model)

        again = join(present(), wanted)
        assert again.how == "resumed" and again.start.progress == run.start.progress
        sync(present(), wanted)
        assert said.lines[-1].endswith("is as new as what desk has: round 1")
        other_folder = Wanted(settings, tmp_path / "other", given=(str(desk.address),))
        save_model(tmp_path / "other", tokenizer_model, model, run_id=OTHER_RUN_ID)
        with pytest.raises(JoinError, match=r"desk trains another run of the same name, and the one in .*/other"):
            sync(present(), other_folder)


@pytest.mark.lan
def test_only_the_state_is_taken_for_who_asks_for_no_more(
    tmp_path: Path, tokenizer_model: Path, model: MiniGPT
) -> None:
    said, here = Said(), tmp_path / "phone"
    donor = a_device_that_trains(tmp_path / "desk", tokenizer_model, model)
    with donor as desk, a_device_beside(desk, here, said) as present:
        sync(present(), Wanted(SETTINGS, here, given=(str(desk.address),)))
    newest = checkpoint.newest(here)
    assert newest is not None and newest.progress.round == 1
    assert said.lines[-1] == f"the newest state of desk, round 1, is in {here / 'cellmind' / newest.folder.name}"
    assert (here / "latest").resolve() == newest.folder.resolve()
    assert (here / "cellmind" / "tokenizer.model").exists()


@pytest.mark.lan
def test_the_donor_s_best_state_is_taken_as_well_and_ours_stays_beside_it(
    tmp_path: Path, tokenizer_model: Path, model: MiniGPT
) -> None:
    said, here, desk_folder = Said(), tmp_path / "phone", tmp_path / "desk"
    identity = run_id(SETTINGS, checkpoint.file_sha256(tokenizer_model))

    def keep_best(root: Path, round: int, nats: float) -> Path:
        loss, position = HeldOutLoss(nats=nats, bits=nats / 2), Position(dataset="texts", sequence=0)
        more: Any = {"run_id": identity, "held_out": loss, "position": position}
        return save_model(root, tokenizer_model, model, round=round, **more)

    ours = keep_best(here, 2, 5.0)
    donor = a_device_that_trains(desk_folder, tokenizer_model, model)
    with donor as desk, a_device_beside(desk, here, said) as present:
        wanted = Wanted(SETTINGS, here, given=(str(desk.address),))
        for round in (1, 3, 4):  # the first one is earlier than ours
            keep_best(desk_folder, round, 5.17)
            sync(present(), wanted)
            best = checkpoint.best(here, checkpoint.read(ours).progress)
            assert best is not None and best.progress.round == max(2, round)
    assert best is not None
    assert sorted(folder.name for folder in ours.parent.iterdir()) == [ours.name, best.folder.name]
    assert best.is_taken and (here / "best").resolve() == best.folder
    assert sum("is as new as what desk has: round 1" in line for line in said.lines) == 2
    assert [line.partition(", in ")[0] for line in said.lines if "best state" in line] == [
        f"the best state of desk, by its own word: round {round}, held-out 5.17" for round in (3, 4)
    ]


def test_a_best_state_of_another_run_is_not_taken(tmp_path: Path, tokenizer_model: Path, model: MiniGPT) -> None:
    newest = checkpoint.read_manifest(save_model(tmp_path, tokenizer_model, model, run_id=OTHER_RUN_ID))
    best = newest.model_copy(update={"run_id": RUN_ID, "held_out": HeldOutLoss(nats=0.1, bits=0.1)})
    said = Said()

    def fetch_manifest(peer: str, run: str, state: str = "newest") -> object:
        return best if state == "best" else newest

    sync(presence_where(seen(DESK), said, fetch_manifest=fetch_manifest), Wanted(SETTINGS, tmp_path))
    assert (
        said.lines[-1]
        == f"the best state of desk was not taken: it is of run {RUN_ID}, and the newest of {OTHER_RUN_ID}"
    )
    assert not (tmp_path / "best").exists()


def test_a_torn_checkpoint_here_is_passed_over(tmp_path: Path, tokenizer_model: Path, model: MiniGPT) -> None:
    folder = save_model(tmp_path, tokenizer_model, model)
    (folder / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(CheckpointError):
        checkpoint.read(folder)
    said, board = Said(), iter([seen(), seen(DESK), seen(DESK), seen()])
    with pytest.raises(StopIteration):
        join(presence_where(lambda: next(board), said, fetch_manifest=refuses), Wanted(SETTINGS, tmp_path))
    assert "is cut off" in said.lines[0] and said.lines[1].startswith("looking for devices")
