"""The average of the parameters over the last part of the training, which is what is judged, asked and kept as best.

A constant learning rate leaves the parameters swaying about where they are going, and their average is there already:
it is as good as parameters whose rate has fallen to nothing (arXiv 2602.03702), and a run needs no known end.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

SHARE = 0.1  # of all training so far, over which the average reaches back
STEPS = 4  # between two of the parameters that it takes in: adding them up is a way through all of memory


class WeightAverage:
    """The running average of parameters that somebody else trains.

    :param parameters: as they are now, which the average begins with
    """

    def __init__(self, parameters: Sequence[Tensor]):
        self._parameters = parameters
        self._average = [parameter.detach().clone() for parameter in parameters]
        self.begin()

    @property
    def average(self) -> list[Tensor]:
        """The average over all steps until now, those as well that were not taken in yet."""
        self._take_in()
        return self._average

    @torch.no_grad()
    def begin(self) -> None:
        """Begin anew with the parameters of now, which do not go on from where they were."""
        for average, parameter in zip(self._average, self._parameters):
            average.copy_(parameter)
        self._sequences = self._waiting = self._steps = 0
        self._trained = 0  # behind the parameters of now
        self._taken_in: int | None = None  # of them, behind the parameters that were last taken in

    @property
    def sequences(self) -> int:
        """The sequences that it is an average over; 0 where it is the parameters themselves."""
        return self._sequences

    @torch.no_grad()
    def go_on(self, average: Sequence[Tensor], sequences: int) -> None:
        """Go on with an average that was kept over an end, in place of the parameters of now."""
        self.begin()
        for kept, parameter in zip(average, self._average):
            parameter.copy_(kept)
        self._sequences = sequences

    def add(self, sequences: int, trained: int) -> None:
        """Count one more step, and take in the parameters after every few of them.

        :param sequences: of the step
        :param trained: sequences that are behind the parameters, the swarm's and all earlier ones as well
        """
        self._waiting += sequences
        self._trained = trained
        self._steps += 1
        if self._steps % STEPS == 0:
            self._take_in()

    @torch.no_grad()
    def _take_in(self) -> None:
        """Take in the parameters of now, for all sequences since the last time."""
        if not self._waiting:
            return
        # in company the parameters move by what all have trained, of which our own sequences are a part
        behind = max(self._waiting, 0 if self._taken_in is None else self._trained - self._taken_in)
        self._sequences += behind
        share = behind / max(behind, min(self._sequences, SHARE * self._trained))
        self._waiting, self._taken_in = 0, self._trained
        for average, parameter in zip(self._average, self._parameters):
            average.lerp_(parameter, share)
