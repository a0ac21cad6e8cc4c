"""The text of others, for a device with none of its own: what devices that were started with --share-data give.

The training process's side of `peer/state/shards.py`: it has one shard after another taken in the background, in a
small share of the time, and lets the dataset grow by those that are here.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from minigpt.checkpoint import Checkpoint, file_sha256
from minigpt.checkpoint.manifest import TOKENIZER
from minigpt.dataset import GrowingDataset, seed_of
from minigpt.encoding import id_type
from peer.device.display import Display
from peer.network.child_calls import Pending
from peer.network.handle import Network
from peer.state.fetching import TransferError
from peer.state.shards import Stock
from peer.wire import Notice

FOLDER = "shards"  # in the run's folder
TIME_SHARE = 0.1  # in which shards are taken; one of them is text for minutes of training
DOUBT_SECONDS = 30.0  # that somebody whose text could not be taken is left alone
ALL_HERE_SECONDS = 600.0  # and somebody whose text is all here: there may be more of it by then
RAW = Path("data/raw")
SAMPLES = {  # the chats in a fresh clone, which are nobody's own
    "17ba613fb37f0dc9100ea7d10d13a7bf6155e46a684b51a7bb5025629fc791d4",
    "07c588ce1b46f8541ef79401a6cde4a04fa02545219fed29f01b463dac1882b1",
    "dbc3589081150bfc8b3a57a70a19b85bc688472240da4410d6da2a9bf2f0655f",
}


class SharedText:
    """The text of others as a dataset that grows with every shard of it that is taken.

    :param run_folder: of the run, under `checkpoints/`
    :param peer: our peer id, from which our order of the text follows
    """

    def __init__(self, network: Network, run_folder: Path, start: Checkpoint, peer: str, display: Display):
        folder, self._run_id = run_folder / FOLDER, start.progress.run_id
        seq_len = start.settings.training.dataset.seq_len
        seed = seed_of(f"{self._run_id} {peer}")
        self.dataset = GrowingDataset(folder / f"{self._run_id}.ids", id_type(start.vocab_size), seq_len, seed)
        self._display = display
        tokenizer, vocab_size = start.files[TOKENIZER].sha256, start.vocab_size
        self._begin: Callable[[str | None], Pending[Stock]] = lambda donor: network.take_shard(
            donor, folder, self._run_id, tokenizer, vocab_size
        )
        self._pending: Pending[Stock] | None = self._begin(None)  # what is here from before?
        self._donor: Notice | None = None
        self._began = self._not_before = time.monotonic()
        self._resting: dict[str, float] = {}  # peers that are not to be asked, and until when

    @property
    def is_here(self) -> bool:
        """Return whether there is any of it yet."""
        return self.dataset.count > 0

    @property
    def is_busy(self) -> bool:
        """Return whether a shard is on its way."""
        return self._pending is not None

    def update(self, notices: Iterable[Notice]) -> None:
        """Take in what has come, and have the next shard taken when its time is there. Never waits."""
        now = time.monotonic()
        if self._pending is not None:
            try:
                stock = self._pending.poll()
            except (TransferError, OSError) as error:
                self._pending = None
                self._put_off(str(error), now)
                return
            if stock is not None:
                self._pending = None
                self._take_in(stock, now)
        elif now >= self._not_before:
            rested = [notice for notice in notices if self._resting.get(notice.peer, 0.0) <= now]
            donors = [notice for notice in rested if notice.gives_text and notice.run_id == self._run_id]
            if donors:
                self._donor = random.choice(donors)
                self._began, self._pending = now, self._begin(self._donor.peer)

    def _take_in(self, stock: Stock, now: float) -> None:
        if stock.ids > self.dataset.count:
            self.dataset.grow(stock.ids)
        if self._donor is not None:
            self._not_before = now + (now - self._began) * (1 / TIME_SHARE - 1)
            if not stock.missing:
                self._display.note(f"the text of {self._donor.name} is here: {stock.ids:,} tokens in all")
                self._resting[self._donor.peer] = now + ALL_HERE_SECONDS

    def _put_off(self, reason: str, now: float) -> None:
        if self._donor is not None:
            self._display.note(f"text of {self._donor.name} was not taken: {reason}; it is tried again later")
            self._resting[self._donor.peer] = now + DOUBT_SECONDS
        else:
            self._display.note(f"shared text that was here before cannot be read: {reason}")


def raw_files() -> list[tuple[str, float]]:
    """Return names and times of change of what is in data/raw: another list once somebody has put chats there."""
    return sorted((path.name, path.stat().st_mtime) for path in RAW.glob("*") if not path.name.startswith("."))


def only_samples() -> bool:
    """Return whether the chats in data/raw are those of a fresh clone, and no others."""
    files = [RAW / name for name, _ in raw_files()]
    return bool(files) and all(path.is_file() and file_sha256(path) in SAMPLES for path in files)


def kept_text(run_folder: Path) -> bool:
    """Return whether shared text of an earlier start is here."""
    return any(path.stat().st_size for path in (run_folder / FOLDER).glob("*.ids"))
