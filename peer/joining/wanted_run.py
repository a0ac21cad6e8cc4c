"""The run that the user asked for: by a name, by an invite, with settings that must hold or may give way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from minigpt.settings import Settings, differences, with_identity_of
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
    """

    settings: Settings
    checkpoints: Path
    insists: bool = False
    given: tuple[str, ...] = ()
    invite: Invite | None = None

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

    def includes(self, other: Notice) -> bool:
        """Return whether a device is in the run that is meant, or could still come to it."""
        return not self.run_id or other.run_id in ("", self.run_id)

    def settings_in(self, run: Settings, what: str, report: Callable[[str], None]) -> Settings:
        """Return the run's settings, with what is this device's own, such as its batch size and its paths.

        :param what: the run, in words for the user
        :param report: gets a line where the two differ; raises JoinError instead if the user insists on others
        """
        different = differences(self.settings, run)
        if different and self.insists:
            raise JoinError(
                f"{what} does not fit your settings: {'; '.join(different)}. "
                "Leave --config out to take the run's settings, or choose another name with --run."
            )
        if different:
            report(f"the settings of {what} are used: {'; '.join(different)}")
        return with_identity_of(self.settings, run)
