"""The best state of the run by held-out loss, kept as a checkpoint beside the rounds: `checkpoints/RUN/best`.

A small chat is learnt within minutes, and from there on held-out loss rises while training loss falls. Whoever asks the
model gets the state from before that (`minigpt.cli.find_best`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from minigpt import checkpoint
from minigpt.checkpoint import Checkpoint
from minigpt.checkpoint.manifest import CheckpointError, HeldOutLoss, Position, Progress
from minigpt.model import MiniGPT
from minigpt.settings import Settings, with_identity_of


class BestState:
    """Writes every judged state that is better than all before it, earlier starts of this device included.

    :param texts: that states are judged on, and trained on: losses on others do not compare
    :param kept: the best one of earlier starts; None where there is none
    """

    def __init__(
        self, settings: Settings, texts: Position, *, tokenizer_model: Path, checkpoints: Path, kept: Checkpoint | None
    ):
        self._settings = with_identity_of(Settings(), settings)  # paths are nobody else's business
        self._texts, self._tokenizer_model, self._checkpoints = texts, tokenizer_model, checkpoints
        self._kept: tuple[Progress, HeldOutLoss] | None = None
        if kept is not None and kept.held_out is not None:
            self._kept = kept.progress, kept.held_out

    @property
    def kept(self) -> tuple[Progress, HeldOutLoss] | None:
        """The best state so far and its loss."""
        return self._kept

    def parameters(self, report: Callable[[str], None]) -> dict[str, Tensor] | None:
        """Return the parameters of the best state so far, by name; None where there is none. Raise CheckpointError.

        :param report: gets a line for one that is not whole
        """
        kept = None if self._kept is None else checkpoint.best(self._checkpoints, self._kept[0], report)
        return None if kept is None else kept.parameters()

    def judged(self, model: MiniGPT, progress: Progress, loss: HeldOutLoss) -> None:
        """Keep a model with this held-out loss, where it is the lowest so far; nobody changes the model meanwhile.

        Raise CheckpointError where it cannot be written; the best one before it is then as it was.
        """
        if self._kept is not None and loss.nats >= self._kept[1].nats:
            return
        parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
        # it need not be the anchor of its round, and nobody follows from it: it has a version, and no lineage
        progress = replace(progress, version=checkpoint.parameter_hash(parameters), lineage="", updates=0)
        checkpoint.save(
            self._checkpoints,
            progress,
            parameters=parameters,
            model_config=model.hugging_face_config(),
            settings=self._settings,
            tokenizer_model=self._tokenizer_model,
            position=self._texts,
            held_out=loss,
        )
        self._kept = progress, loss

    def put_away(self, others: Iterable[Checkpoint]) -> None:
        """Throw away what counted as best before it was judged here, and let the link lead to what is.

        Raise CheckpointError where that cannot be.
        """
        if self._kept is None:
            return
        folder = self._checkpoints / self._kept[0].run / checkpoint.BEST / checkpoint.folder_name(self._kept[0])
        for other in others:
            if other.folder.name != folder.name:
                checkpoint.discard(other.folder)
        try:
            checkpoint.point_at(self._checkpoints / checkpoint.BEST, folder)
        except OSError as error:
            raise CheckpointError(f"{self._checkpoints / checkpoint.BEST} was not set: {error.strerror}") from error


def kept_before(checkpoints: Path, progress: Progress, report: Callable[[str], None]) -> list[Checkpoint]:
    """Return the best state of this run from earlier starts, and what another device called its best, the later first.

    The link `best` leads to that one. Where there is none, there is no link: it would lead to another run's.
    """
    kept = checkpoint.best_states(checkpoints, progress, report)
    link = checkpoints / checkpoint.BEST
    try:
        if kept:
            checkpoint.point_at(link, checkpoints / progress.run / checkpoint.BEST / kept[0].folder.name)
        elif link.is_symlink():
            link.unlink()
    except OSError as error:
        report(f"{link} was not set: {error.strerror}")
    return kept


def texts_of(kept: Checkpoint) -> Position | None:
    """Return the texts that a state was judged on, and trained on; None where that was not kept."""
    try:
        return kept.position()
    except CheckpointError:
        return None
