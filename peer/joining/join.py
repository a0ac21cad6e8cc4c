"""From nothing to a run this device can train in: resume it, join it, or found it.

A run that exists, in `checkpoints/` or in the swarm, brings its own settings and tokenizer; `config.json` speaks for a
run that is founded, and for what is each device's own (batch size, paths). A device without text trains on what others
share, and keeps the newest state for others as long as nobody does.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch

import tokenizer
from atomic import replacing
from data.errors import DataError
from data.prepare import prepare, prepared_with
from minigpt import checkpoint
from minigpt.checkpoint import Checkpoint
from minigpt.checkpoint.manifest import SETTINGS, TOKENIZER, CheckpointError, Manifest, Position, Progress
from minigpt.device import pick_device
from minigpt.model import MiniGPT
from minigpt.settings import (
    DatasetSettings,
    Settings,
    SettingsError,
    TokenizerSettings,
    differences,
    parse_settings,
    run_id,
    with_identity_of,
)
from peer.device.display import Display
from peer.device.memory import available_memory
from peer.device.processes import Stopped, StopSignal
from peer.inner.batch_size import check_room
from peer.joining.invite import Invite
from peer.joining.relay import Relay
from peer.joining.shared_text import SharedText, kept_text, only_samples, raw_files
from peer.network import clock
from peer.network.handle import Network
from peer.network.node import ANOTHER_DEVICE, View
from peer.state.fetching import TransferError
from peer.state.verifying import verified
from peer.swarm.membership import Start, can_give, decide_start
from peer.swarm.notice import Notice, Role

TOKENIZER_TEXT = Path("data/for-tokenizer-training/textonly.txt")
LOOK_SECONDS = 3.0  # before a run is founded because nobody answers
MEET_SECONDS = 10.0  # longest, where somebody was heard of but is not on the notice board yet
UNANSWERED_SECONDS = 15.0  # after which an address that was given and does not answer is an error
DONOR_ATTEMPTS = 20
SHARE_SECONDS = 30.0  # that a donor is given to write a checkpoint for us
POLL_SECONDS = 0.1


class JoinError(Exception):
    """This device cannot take part as asked; the message is for the user."""


@dataclass(frozen=True)
class Run:
    """What training needs: the run's settings, its tokenizer, and the state it goes on from."""

    settings: Settings
    tokenizer_model: Path
    start: Checkpoint
    how: str  # "resumed", "joined" or "founded"
    has_text: bool = True  # of its own
    shared: SharedText | None = None  # what it trains on instead

    def position(self) -> Position | None:
        """Where this device was in a run that it resumes, if that was kept. Raises CheckpointError."""
        return self.start.position() if self.how == "resumed" else None


class Joiner:
    """Takes one device from its start to a Run. Waits where it must, and says for what.

    :param insists: the user named a settings file, so a run that differs from it is an error and not a notice
    :param deadline: of `time.monotonic`, after which it does not wait any longer: Stopped; None for never
    :param given: addresses the user typed; if none of them answers, founding another run is not what was meant
    :param invite: what the user typed instead; then its run is meant, and no other of the same name
    """

    def __init__(
        self,
        *,
        settings: Settings,
        insists: bool,
        given: list[str],
        invite: Invite | None = None,
        network: Network,
        me: Notice,
        checkpoints: Path,
        display: Display,
        stop: StopSignal,
        deadline: float | None = None,
    ):
        self.settings, self.insists, self.given, self.invite = settings, insists, given, invite
        self.run_id = invite.run_id if invite is not None else ""  # the one that is meant, "" for any of that name
        self.network, self.me, self.checkpoints = network, me, checkpoints
        self.display, self.stop, self.deadline = display, stop, deadline
        self.run_folder = checkpoints / settings.swarm.run
        self._mentioned: set[str] = set()

    def open(self) -> Run:
        """Raises JoinError, data.DataError, tokenizer.TokenizerError, CheckpointError, Stopped."""
        run = self._open()
        return run if run.has_text else self._wait_for_text(run)

    def _open(self) -> Run:
        newest = checkpoint.newest(self.checkpoints, self.settings.swarm.run, report=self.display.note)
        if newest is not None:
            return self._resume(newest)
        while True:
            start = self._look()
            if start is Start.JOIN:
                joined = self._join()
                if joined is not None:
                    return joined
                continue
            founded = self._found()
            if founded is not None:
                return founded

    def sync(self) -> None:
        """Bring the swarm's newest state into `checkpoints/`, without training. Raises JoinError, CheckpointError."""
        run = self.settings.swarm.run
        mine = checkpoint.newest(self.checkpoints, run, report=self.display.note)
        for _ in range(DONOR_ATTEMPTS):
            donor = self._newest_peer()
            try:
                manifest = self.network.fetch_manifest(donor.peer, run)
                if mine is not None and mine.progress.run_id != manifest.run_id:
                    raise JoinError(
                        f"{donor.name} trains another run of the same name, and the one in {self.run_folder} is not "
                        "mixed with it; choose another folder with --checkpoints"
                    )
                if mine is not None and manifest.samples <= mine.progress.samples:
                    self.display.note(f"{mine.folder} is as new as what {donor.name} has: round {mine.progress.round}")
                    return
                state = self._take(donor, manifest)
            except (TransferError, CheckpointError) as error:
                self.display.note(f"taking the state from {donor.name}: {error}; trying again")
                self._pause(1.0)
                continue
            self._keep_tokenizer(state.folder / TOKENIZER)
            folder = self.run_folder / state.folder.name
            checkpoint.point_latest(self.checkpoints, folder)
            self.display.note(f"the newest state of {donor.name}, round {state.progress.round}, is in {folder}")
            return
        raise JoinError("no state could be taken from the devices that train; try again later")

    def _newest_peer(self) -> Notice:
        """Who has the newest state, once anybody who trains is found. Raises JoinError."""
        run, started = self.settings.swarm.run, time.monotonic()
        self._mention(f"looking for devices that train '{run}' on this network …")
        while True:
            view = self._breathe()
            donors = self._donors(view)
            if donors:
                return max(donors, key=lambda notice: notice.state)
            if time.monotonic() - started > UNANSWERED_SECONDS:
                if self.given and not view.connected:
                    raise JoinError(self._unanswered(view))
                raise JoinError(
                    f"nobody trains '{run}' on this network; start python -m peer --join on a device, "
                    "or give the address of one that runs with --initial-peers"
                )

    # ------------------------------------------------------------------ resume

    def _resume(self, newest: Checkpoint) -> Run:
        progress = newest.progress
        if self.run_id not in ("", progress.run_id):
            raise JoinError(
                f"the invite is for run {self.run_id}, and {newest.folder} is of run {progress.run_id}, which is not "
                "mixed with it; choose another folder with --checkpoints"
            )
        settings = self._settings_of(newest.settings, f"the run in {newest.folder}")
        self.display.note(f"going on with run {progress.run_id} from round {progress.round} ({newest.folder.name})")
        has_text = self._has_text(settings)
        return Run(settings, self._keep_tokenizer(newest.folder / TOKENIZER), newest, "resumed", has_text)

    def _settings_of(self, run: Settings, what: str) -> Settings:
        """The run's settings on this device. Raises JoinError if the user insists on others."""
        different = differences(self.settings, run)
        if different and self.insists:
            raise JoinError(
                f"{what} does not fit your settings: {'; '.join(different)}. "
                "Leave --config out to take the run's settings, or choose another name with --run."
            )
        if different:
            self.display.note(f"the settings of {what} are used: {'; '.join(different)}")
        return with_identity_of(self.settings, run)

    # ------------------------------------------------------------------ look

    def _look(self) -> Start:
        """Watch the notice board until it is clear whether to join or to found."""
        self.me = self.me.model_copy(update={"role": Role.LOOKING})
        self.display.note(f"looking for devices that train '{self.settings.swarm.run}' on this network …")
        started = time.monotonic()
        while True:
            view = self._breathe()
            elapsed = time.monotonic() - started
            meant = [notice for notice in view.notices if self._is_meant(notice)]
            enough = self._has_seen_all(view, meant, elapsed)
            if self.invite is not None and not self._is_verified(self.invite, view) and elapsed < UNANSWERED_SECONDS:
                continue
            start = decide_start(self.me, meant, enough)
            if start is Start.FOUND or (start is Start.JOIN and self._donors(view)):
                return start
            if start is Start.JOIN and elapsed > UNANSWERED_SECONDS:
                if not any(notice.reachable for notice in meant):
                    raise JoinError(self._out_of_reach(meant))
                self._mention("waiting for a device that is within reach to have the state of those who train …")
            if start is Start.WAIT:
                self._mention("another device is founding the run; waiting for it …")

    def _has_seen_all(self, view: View, meant: list[Notice], elapsed: float) -> bool:
        """Whether nobody else is to be waited for. Raises JoinError if those whom the user named are not there."""
        if self.run_id or (self.given and not view.connected):  # then founding another run is not what was meant
            if elapsed > UNANSWERED_SECONDS and not any(notice.has_state for notice in meant):
                raise JoinError(self._unanswered(view))
            return False
        seen = {notice.peer for notice in view.notices}
        unseen = [address for address in view.heard if address.rpartition("/")[2] not in seen]
        return elapsed > (MEET_SECONDS if unseen else LOOK_SECONDS) and view.searched

    def _is_verified(self, invite: Invite, view: View) -> bool:
        """Whether the invite's address was tried. Raises JoinError if who answered is not the invite's device."""
        if view.refused.get(invite.address) == ANOTHER_DEVICE:
            raise JoinError(
                f"at the address of the invite, {invite.address.split('/')[2]}, another device answers: its "
                "fingerprint is not the one in the invite; ask for a new invite"
            )
        return invite.address in view.refused or invite.address.rpartition("/")[2] in view.connected

    def _is_meant(self, other: Notice) -> bool:
        """Whether it is in the run that this device was invited to, or could still come to it."""
        return not self.run_id or other.run_id in ("", self.run_id)

    def _donors(self, view: View) -> list[Notice]:
        """Who has a state of the run that is meant, and can give it to us."""
        return [notice for notice in view.notices if can_give(self.me, notice) and self._is_meant(notice)]

    def _unanswered(self, view: View) -> str:
        if view.connected:
            others = {notice.run_id: notice.name for notice in view.notices if notice.role == Role.TRAINING}
            trained = ", ".join(f"{name} trains {run_id}" for run_id, name in others.items()) or "nobody trains it"
            return f"the invite is for run {self.run_id}, and {trained} on this network; ask for a new invite"
        reasons = "; ".join(f"{address}: {view.refused.get(address, 'no answer')}" for address in self.given)
        instead = "leave --initial-peers out" if self.invite is None else "ask for a new invite"
        return (
            f"nobody answers at the given address ({reasons}). "
            f"Check that it is up to date and that the device is on this network, or {instead}."
        )

    def _out_of_reach(self, meant: list[Notice]) -> str:
        names = ", ".join(notice.name for notice in meant if notice.role == Role.TRAINING)
        return (
            f"{names} cannot be reached from this device, nor this device from there: a firewall lets no connection in "
            f"on either. Let TCP port {self.me.address.split('/')[4]} in on one of them"
        )

    # ------------------------------------------------------------------ join

    def _join(self) -> Run | None:
        """Take settings, tokenizer and state from the peer that is furthest; None if everybody left meanwhile."""
        for _ in range(DONOR_ATTEMPTS):
            view = self._breathe()
            donors = self._donors(view)
            if not donors:
                return None
            donor = max(donors, key=lambda notice: notice.state)
            try:
                return self._join_through(donor)
            except (TransferError, CheckpointError, SettingsError) as error:
                self.display.note(f"taking the state from {donor.name}: {error}; trying again")
                self._pause(1.0)
        raise JoinError(f"no state could be taken from the {len(donors)} device(s) that have one; try again later")

    def _join_through(self, donor: Notice) -> Run:
        run = self.settings.swarm.run
        manifest = self.network.fetch_manifest(donor.peer, run)
        if self.run_id not in ("", manifest.run_id):
            raise TransferError(f"it gives run {manifest.run_id}, and the invite is for {self.run_id}")
        theirs = parse_settings(self.network.fetch_bytes(donor.peer, manifest, SETTINGS), donor.name)
        settings = self._settings_of(theirs, f"run '{run}' of {donor.name}")
        has_text = self._has_text(settings)
        self.me = self.me.model_copy(update={"role": Role.JOINING, "run_id": manifest.run_id})
        if settings.swarm.averaging == "background":
            self._wait_until_shared(donor)
        state = self._take(donor, manifest)
        self.display.note(f"joined run {state.progress.run_id} at round {state.progress.round} through {donor.name}")
        return Run(settings, self._keep_tokenizer(state.folder / TOKENIZER), state, "joined", has_text)

    def _take(self, donor: Notice, manifest: Manifest) -> Checkpoint:
        """The donor's newest state, about as large as the manifest says. Raises TransferError and CheckpointError."""
        poll = self.network.fetch(donor.peer, manifest.run_id, self.checkpoints)
        total = sum(entry.size for entry in manifest.files.values())
        before = self.network.view.bytes_received
        with self.display.bytes(f"taking the model from {donor.name}", total) as advance:
            while (folder := poll()) is None:
                advance(self._breathe().bytes_received - before)
        return verified(folder)[0]

    def _wait_until_shared(self, donor: Notice) -> None:
        """A donor that was alone writes a checkpoint now from which we can follow it; an older one would not do."""
        deadline = time.monotonic() + SHARE_SECONDS
        while time.monotonic() < deadline:
            notice = next((notice for notice in self._breathe().notices if notice.peer == donor.peer), None)
            if notice is None or notice.sharing:
                return

    # ------------------------------------------------------------------ found

    def _found(self) -> Run | None:
        """Prepare what is missing and write the state of round 0; None if somebody else founds or trains after all."""
        self.me = self.me.model_copy(update={"role": Role.FOUNDING})
        self._breathe()
        self._prepare_text(self.settings)
        path = self._train_tokenizer()
        if self._outvoted():
            self.display.note("another device has founded the run meanwhile: joining it")
            return None
        settings = self.settings
        sha256 = checkpoint.file_sha256(path)
        identity = run_id(settings, sha256)
        vocab_size = tokenizer.load(path).vocab_size()
        check_room(settings, vocab_size, available_memory(pick_device()))
        model = found_model(settings, vocab_size, identity)
        parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
        progress = Progress(settings.swarm.run, identity, 0, 0, 0, checkpoint.parameter_hash(parameters))
        folder = checkpoint.save(
            self.checkpoints,
            progress,
            parameters=parameters,
            model_config=model.hugging_face_config(),
            settings=with_identity_of(Settings(), settings),  # paths are nobody else's business
            tokenizer_model=path,
            optimizer=None,
            local=None,
        )
        self.display.note(f"nobody trains '{settings.swarm.run}' here yet: founded run {identity}")
        return Run(settings, self._keep_tokenizer(path), checkpoint.read(folder), "founded")

    def _outvoted(self) -> bool:
        for _ in range(20):  # the view is at most two seconds old then
            view = self._breathe()
        return decide_start(self.me, view.notices, True) is not Start.FOUND

    def _train_tokenizer(self) -> Path:
        """The tokenizer of the settings, trained if it is missing at its usual place."""
        path = self.settings.tokenizer.model_path
        if path.exists():
            tokenizer.load(path)
            return path
        if path != TokenizerSettings().model_path:
            raise JoinError(
                f"tokenizer.model_path is {path}, which does not exist. "
                "Train it with python -m tokenizer, or leave the key out to have one trained."
            )
        wanted = self.settings.tokenizer.vocab_size
        vocab_size = tokenizer.fitting_vocab_size(TOKENIZER_TEXT, wanted)
        if vocab_size < wanted:
            self.display.note(f"so little text is learnt better with {vocab_size:,} pieces than with {wanted:,}")
        return tokenizer.train(
            TOKENIZER_TEXT,
            model_prefix=path.stem,
            output_dir=path.parent,
            vocab_size=vocab_size,
            report=self.display.note,
        )

    def _prepare_text(self, settings: Settings) -> None:
        """Clean `data/raw` as the run does, if there is no training text yet or one that was prepared otherwise.

        Text that `python -m data` did not write is the user's own and left alone. Raises JoinError if it is missing.
        """
        path = settings.training.dataset.path
        if path != DatasetSettings().path:
            if path.exists():
                return
            raise JoinError(f"training.dataset.path is {path}, which does not exist. Correct it in the settings.")
        if path.exists():
            found = prepared_with()
            if found in (None, settings.data):
                return
            self.display.note("the texts here were prepared in another way than this run's: preparing them again")
        prepare(report=self.display.note, options=settings.data)

    # ------------------------------------------------------------------ without text

    def _has_text(self, settings: Settings) -> bool:
        """Whether this device has text of its own to train on, cleaned by now. Raises JoinError: see `_prepare_text`.

        The samples of a fresh clone are some, but where somebody shares real text, that is taken instead.
        """
        shared = any(other.gives_text for other in self.network.view.notices) or kept_text(self.run_folder)
        if shared and not self.settings.training.dataset.path.exists() and only_samples():
            self._mention("only the sample chats are in data/raw: text that others share is trained on instead")
            return False
        try:
            self._prepare_text(settings)
        except DataError as error:
            self._mention(f"no text of its own: {error}")
            return False
        return True

    def _wait_for_text(self, run: Run) -> Run:
        """Until there is text to train on; as long as nobody shares any, the newest state is kept for others."""
        shared = SharedText(self.network, self.run_folder, run.start, self.me.peer, self.display)
        relay = Relay(self.network, self.checkpoints, run.start, self.display)
        raw = raw_files()
        while not shared.is_here:
            self.me = relay.notice(self.me)
            view = self._breathe()
            shared.update(view.notices)
            sharers = [other.name for other in view.notices if other.gives_text and other.run_id == self.me.run_id]
            if sharers:
                self._mention(f"taking text that {sharers[0]} shares …")
            elif not shared.is_busy:
                self._mention(
                    "nothing to train on: this device keeps the newest state for others, and trains as soon as there "
                    "are chats in data/raw, or a device that has some is started with --share-data"
                )
                relay.update(self.me, view.notices)
                if raw != (raw := raw_files()) and self._has_text(run.settings):
                    return self._after(run, relay)
        self.me = self.me.model_copy(update={"role": Role.JOINING})
        return replace(self._after(run, relay), shared=shared)

    def _after(self, run: Run, relay: Relay) -> Run:
        """The run, from the state that was kept for others meanwhile."""
        return run if relay.start is run.start else replace(run, start=relay.start, how="joined")

    # ------------------------------------------------------------------ small things

    def _keep_tokenizer(self, source: Path) -> Path:
        """A copy beside the run's checkpoints, which are pruned as training goes on."""
        kept = self.run_folder / TOKENIZER
        if not kept.exists() or checkpoint.file_sha256(kept) != checkpoint.file_sha256(source):
            with replacing(kept, synced=False) as part:
                shutil.copyfile(source, part)
        return kept

    def _breathe(self) -> View:
        """Post our notice, look at the board, and mind Ctrl+C."""
        self._pause(POLL_SECONDS)
        view = self.network.post(self.me)
        self.me = self.me.model_copy(update={"peer": self.network.peer, "reachable": view.reachable})
        difference = clock.difference(view.clock_shift)
        if difference is not None:
            self._mention(difference)
        for address, name in view.heard.items():
            self._mention(f"found {name} at {address.split('/')[2]}")
        return view

    def _pause(self, seconds: float) -> None:
        if self.stop.received or (self.deadline is not None and time.monotonic() > self.deadline):
            raise Stopped
        time.sleep(seconds)

    def _mention(self, text: str) -> None:
        if text not in self._mentioned:
            self._mentioned.add(text)
            self.display.note(text)


def found_model(settings: Settings, vocab_size: int, identity: str) -> MiniGPT:
    """The model of round 0. The run id seeds it: two devices that found the same run begin with the same anchor."""
    seed = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:8], "big") % 2**63
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MiniGPT.from_settings(settings.model, vocab_size, settings.training.dataset.seq_len)
