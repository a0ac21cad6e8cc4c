"""The run that the user asked for: by a name, by an invite, with settings that must hold or may give way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from minigpt.settings import Settings, differences, with_identity_of
from minigpt.sizing import SIZES, Size
from peer.joining.errors import JoinError
from peer.joining.invite import Invite
from peer.wire import Notice


@dataclass(frozen=True)
class Wanted:
    """The run that the user asked for, as it was typed.

    :param settings: of this device; `settings.swarm.run` is the name of the run
    :param checkpoints: the folder where its state is kept
    :param insists: the user named a settings file, so a run that differs from it is an error and not a notice
    :param given: addresses; if none of them answers, founding another run is not what was meant
    :param invite: to one run; then no other of the same name is meant
    :param size: name of the size that a run is founded with, from `SIZES`
    :param hours: of this device in which a run that is founded is to learn most
    :param share_of_time: in which this device trains
    :param private: a run that is founded is locked from its first moment on
    """

    settings: Settings
    checkpoints: Path
    insists: bool = False
    given: tuple[str, ...] = ()
    invite: Invite | None = None
    size: str | None = None
    hours: float | None = None
    share_of_time: float = 1.0
    private: bool = False

    @property
    def run(self) -> str:
        """The name of the run."""
        return self.settings.swarm.run

    @property
    def run_id(self) -> str:
        """The id of the one run that is meant, "" for any of that name."""
        return self.invite.run_id if self.invite is not None else ""

    @property
    def run_folder(self) -> Path:
        """The folder of the run's checkpoints and tokenizer."""
        return self.checkpoints / self.run

    @property
    def size_option(self) -> str | None:
        """The option by which the size was asked for, as it was typed; None if it was not."""
        if self.size is not None:
            return f"--size {self.size}"
        return None if self.hours is None else f"--hours {self.hours:g}"

    @property
    def named_size(self) -> Size | None:
        """The size that options or settings name; None where what learns most is to be chosen."""
        if self.size is not None:
            return SIZES[self.size]
        return size_of(self.settings) if self.hours is None and self.settings.model.names_size else None

    def includes(self, other: Notice) -> bool:
        """Return whether a device is in the run that is meant, or could still come to it."""
        return not self.run_id or other.run_id in ("", self.run_id)

    def settings_in(self, run: Settings, what: str, report: Callable[[str], None]) -> Settings:
        """Return the run's settings, with what is this device's own, such as its batch size and its paths.

        :param what: the run, in words for the user
        :param report: gets a line where the two differ; raises JoinError instead if the user insists on others
        """
        mine = self.settings
        if not mine.model.names_size:
            mine = with_size(mine, size_of(run))
        if self.size_option is not None:  # then the size of the settings is not insisted on
            mine = with_size(mine, size_of(run), run.tokenizer.vocab_size)
            if self.named_size != size_of(run):
                size = run.model
                report(
                    f"{self.size_option} is for a run that is founded: {what} keeps its own size, "
                    f"d_model {size.d_model}, nhead {size.nhead}, num_layers {size.num_layers}"
                )
        different = differences(mine, run)
        if different and self.insists:
            raise JoinError(
                f"{what} does not fit your settings: {'; '.join(different)}. "
                "Leave --config out to take the run's settings, or choose another name with --run."
            )
        if different:
            report(f"the settings of {what} are used: {'; '.join(different)}")
        return with_identity_of(self.settings, run)


def size_of(settings: Settings) -> Size:
    """Return the size of the settings' model."""
    return Size(settings.model.d_model, settings.model.nhead, settings.model.num_layers)


def with_size(settings: Settings, size: Size, vocab_size: int | None = None) -> Settings:
    """Return the settings with the model of that size, and with that vocabulary, or with their own."""
    model = settings.model.model_copy(update=asdict(size))
    tokenizer = settings.tokenizer
    if vocab_size is not None:
        tokenizer = tokenizer.model_copy(update={"vocab_size": vocab_size})
    return settings.model_copy(update={"model": model, "tokenizer": tokenizer})
