"""What is said of a round that has ended: a line on the screen, and one in metrics.jsonl."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class EndedRound:
    """A round that is over, and what is said of it."""

    entry: dict[str, object]  # for metrics.jsonl
    beginning: str  # of the line on the screen, and the rest of it
    rest: str
    evaluated: bool  # whether its anchor is being judged
